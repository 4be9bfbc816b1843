"""Triton kernels; imported only where they are launched, because Triton is not on every machine."""
