"""FlashAttention-4 as torch.nn.attention expects it: the package's beta returns more values than torch unpacks."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from torch import Tensor


def _flash_attn_fwd(*tensors: Tensor, **options: object) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp."""
    forward = cast("Callable[..., tuple[Tensor, ...]]", _package()._flash_attn_fwd)
    out, lse, *_ = forward(*tensors, **options)
    return out, lse


def _flash_attn_bwd(*tensors: Tensor, **options: object) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values."""
    backward = cast("Callable[..., tuple[Tensor, ...]]", _package()._flash_attn_bwd)
    dq, dk, dv, *_ = backward(*tensors, **options)
    return dq, dk, dv


class _Package:
    _flash_attn_fwd: object
    _flash_attn_bwd: object


def _package() -> _Package:
    return cast("_Package", import_module("flash_attn.cute.interface"))
