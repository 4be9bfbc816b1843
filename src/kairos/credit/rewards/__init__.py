"""Reward terms, one file for each kind, and the rubric that weights and adds them."""
