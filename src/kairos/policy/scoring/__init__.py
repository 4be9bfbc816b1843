"""Scores given completions: their log-probabilities, by two scorers that agree."""
