"""Decoded clips and features on disk, sealed and memory-mapped."""
