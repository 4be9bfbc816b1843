"""Hydra plugins: a launcher that starts one torchrun a job, the folder that a sweep gets, and what its failures say."""
