"""Reads, filters, sorts and shows the rollouts of a run on a terminal."""
