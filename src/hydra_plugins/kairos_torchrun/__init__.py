"""Hydra plugins: a launcher with one torchrun per job, and callbacks that name a sweep's folder and failed jobs."""
