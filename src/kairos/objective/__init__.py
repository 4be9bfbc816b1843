"""The loss: named terms, one value per action, and aggregations that weight the actions into one number."""
