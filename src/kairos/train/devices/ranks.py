"""What several processes have to agree on: sums of tensors and lists of small objects, no-ops on one process."""

from __future__ import annotations

from typing import TypeVar, cast

import torch.distributed as dist
from lightning.fabric.utilities.rank_zero import rank_zero_only
from torch import Tensor

Item = TypeVar("Item")


def world() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if world() > 1 else 0


def total(value: Tensor) -> Tensor:
    """The sum of `value` over all ranks, on every rank."""
    if world() > 1:
        value = value.clone()
        dist.all_reduce(value)
    return value


def gather(items: list[Item]) -> list[Item]:
    """All ranks' items in rank order, on every rank."""
    if world() == 1:
        return items
    parts: list[list[Item] | None] = [None] * world()
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in cast("list[Item]", part)]


def main_process() -> bool:
    """Whether this process is the one that writes, known before the processes have met."""
    return rank_zero_only.rank in (None, 0)
