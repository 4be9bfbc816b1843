"""Where a model's weights come from, and which of them are trained."""
