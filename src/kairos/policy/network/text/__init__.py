"""The text tower: transformers' layers on packed tokens."""
