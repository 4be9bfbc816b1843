"""Hydra plugins of Kairos: a launcher that starts one torchrun a job, and the folder that a sweep gets."""
