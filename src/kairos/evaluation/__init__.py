"""Evaluation: predictions, metrics, bootstrap intervals, and the scores of trivial predictors (floors)."""
