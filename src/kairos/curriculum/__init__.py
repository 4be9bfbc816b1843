"""Which prompts are drawn, and in what order."""
