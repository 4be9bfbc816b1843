"""Frozen video language models that answer prompts from sets of chosen frames."""
