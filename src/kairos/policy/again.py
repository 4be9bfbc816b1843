"""What is computed again in the backward pass instead of kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import torch
from torch.utils.checkpoint import checkpoint

P = ParamSpec("P")
T = TypeVar("T")


def again(compute: Callable[P, T], *inputs: P.args, **options: P.kwargs) -> T:
    """What `compute` gives; only what goes in is kept. Random numbers (an adapter's dropout) are drawn as before."""
    if not torch.is_grad_enabled():
        return compute(*inputs, **options)
    return cast("T", checkpoint(compute, *inputs, use_reentrant=False, **options))
