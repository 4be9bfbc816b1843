"""Kairos: reinforcement learning that teaches video language models when something happens and where to look."""

__version__ = "0.1.0"
