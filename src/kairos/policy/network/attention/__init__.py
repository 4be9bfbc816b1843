"""Attention over packed tokens: kernels for scoring, prefill and decoding."""
