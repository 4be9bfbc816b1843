"""Reward terms, one file a kind, and the rubric that adds them up."""
