"""The loss: named terms per action, and how actions are weighted into one number."""
