"""Kairos teaches video language models when something happens and which moments to look at, by reinforcement learning."""

__version__ = "0.1.0"
