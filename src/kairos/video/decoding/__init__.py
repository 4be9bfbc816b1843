"""Decoders, and the worker process with time and memory limits that runs them."""
