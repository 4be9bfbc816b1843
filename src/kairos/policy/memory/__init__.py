"""Estimates the memory of a training step, advises what would lower it, and chooses recomputation."""
