"""Fused operators, each with a plain torch twin, and the Triton kernels behind them."""
