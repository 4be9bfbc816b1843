"""Committed tables: results of many runs beside what papers published."""
