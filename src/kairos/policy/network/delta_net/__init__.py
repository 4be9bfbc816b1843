"""Gated delta nets over shared prompts: rows start from a copy of the state at the end of their prompt."""
