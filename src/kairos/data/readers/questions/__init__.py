"""Readers of benchmarks that ask for an option: each names the fields of one published schema."""
