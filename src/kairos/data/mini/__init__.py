"""The mini world: synthetic clips with questions, rendered to real mp4 files."""
