"""How much memory a step needs, and what would lower it."""
