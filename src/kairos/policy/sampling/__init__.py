"""Draws completions, with each prompt's keys and values stored once."""
