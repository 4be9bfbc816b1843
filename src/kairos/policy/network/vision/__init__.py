"""How frames become the features of video tokens: what the families' towers share."""
