"""Committed result tables: scores of many runs next to those that papers published."""
