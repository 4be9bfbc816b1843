"""Annotations to prompts: one file an annotation format, the wordings, and the synthetic mini world."""
