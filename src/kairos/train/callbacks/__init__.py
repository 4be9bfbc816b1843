"""Lightning callbacks: logging, validation, checkpoints, progress, early stopping, checks, profiling, export."""
