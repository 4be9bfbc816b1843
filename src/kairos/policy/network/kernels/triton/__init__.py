"""Triton kernels. Import them only where they are launched: Triton is not on every machine."""
