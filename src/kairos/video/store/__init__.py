"""Stores of decoded clips and of features: memory-mapped files with a checksum."""
