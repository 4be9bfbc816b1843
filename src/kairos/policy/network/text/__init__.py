"""The text tower: the forward passes of transformers' layers on packed tokens."""
