"""What happens around an iteration: log, validate, save, show, stop."""
