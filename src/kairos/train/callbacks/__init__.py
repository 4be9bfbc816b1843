"""Lightning callbacks: log, validate, save, show progress, stop, check, profile, export."""
