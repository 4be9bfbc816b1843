"""Adapts the package flash-attn-4 to torch.nn.attention: its beta returns more values than torch unpacks."""

from __future__ import annotations

from importlib import import_module

from torch import Tensor

_INTERFACE = "flash_attn.cute.interface"


def _flash_attn_fwd(*tensors: Tensor, **options: object) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp."""
    out, lse, *_ = import_module(_INTERFACE)._flash_attn_fwd(*tensors, **options)
    return out, lse


def _flash_attn_bwd(*tensors: Tensor, **options: object) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values."""
    dq, dk, dv, *_ = import_module(_INTERFACE)._flash_attn_bwd(*tensors, **options)
    return dq, dk, dv
