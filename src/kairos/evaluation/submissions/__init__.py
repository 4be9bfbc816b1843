"""Answers in the formats of benchmarks and of other evaluation programs: a file each, for reading and for writing."""
