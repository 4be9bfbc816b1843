"""How likely are given completions: two scorers that agree."""
