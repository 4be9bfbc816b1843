"""Ranks, strategies and sharding."""
