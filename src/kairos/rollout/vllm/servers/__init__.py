"""Samples with `vllm serve` processes: tokens in, tokens out, weights as files or over the network."""
