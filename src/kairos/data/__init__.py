"""From annotation files to prompts: readers, prompt templates, and the synthetic mini world."""
