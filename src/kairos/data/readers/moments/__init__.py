"""Readers of benchmarks that ask when: each turns one published schema into grounding records."""
