"""The models that are trained: video language models, a temporal agent, and a toy."""
