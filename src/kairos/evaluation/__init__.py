"""How good are the answers: predictions, metrics, intervals and the trivial floors beside them."""
