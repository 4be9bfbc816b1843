"""Samples with vLLM in the training process: our token ids, positions and video features go in, token ids come out."""
