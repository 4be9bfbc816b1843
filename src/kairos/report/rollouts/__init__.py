"""Rollouts on a terminal: read, filter, sort, show."""
