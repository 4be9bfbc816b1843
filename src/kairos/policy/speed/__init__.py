"""Predicts how long an iteration takes, from shapes and measured rates."""
