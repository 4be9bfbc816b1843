"""Turns frames into the features of video tokens: patches, towers, and the cache of their features."""
