"""Builds models: where weights come from, which of them are trained, and how they are saved."""
