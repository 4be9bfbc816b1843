"""The page of several runs, seeds of one configuration together."""
