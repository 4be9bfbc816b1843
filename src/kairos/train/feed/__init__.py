"""Feeds training: draws prompts from the data sets and delivers them as batches."""
