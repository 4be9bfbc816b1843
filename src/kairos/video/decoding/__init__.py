"""Decoders, and the guarded process that runs them."""
