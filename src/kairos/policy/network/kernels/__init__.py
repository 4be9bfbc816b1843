"""Fused operators, each with a twin in plain torch; `triton/` holds their kernels, `dispatch` chooses the path."""
