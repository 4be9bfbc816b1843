"""Which prompts a run trains on, and in what order."""
