"""Gated delta nets over prompts that rows share: states are forked at the end of the prompt."""
