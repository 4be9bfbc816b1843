"""Sums over all processes of a run, for parts that need a statistic of the whole step; no-ops on one process."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor


def world() -> int:
    """The number of processes that train together: 1 where torch.distributed was not initialised."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def total(value: Tensor) -> Tensor:
    """The sum of `value` over all ranks, on every rank and on the device of `value`.

    Every rank must call this equally often and with equal shapes, or all ranks wait for ever. A rank with nothing to
    add passes zeros.
    """
    if world() == 1:
        return value
    host = not value.is_cuda and dist.get_backend() == "nccl"  # NCCL sums on GPUs alone
    summed = value.to("cuda") if host else value.clone()
    dist.all_reduce(summed)
    return summed.to(value.device)
