"""Samples completions; each prompt's keys and values are stored once for all its rows."""
