"""Metrics of published benchmarks, by their official algorithms. What theirs leave out and ours counts is said."""
