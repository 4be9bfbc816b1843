"""TSPO's temporal agent: a policy whose actions are frames."""
