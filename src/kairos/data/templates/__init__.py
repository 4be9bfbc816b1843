"""Prompt templates: how a question is worded, how an answer is written, and how it is read."""
