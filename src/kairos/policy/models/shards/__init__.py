"""Checkpoints of many pieces: a folder with a safetensors file of each rank and one JSON index, without any pickle."""
