"""Collects tensors and small objects from all processes of a run; no-ops on one process.

Objects travel pickled through torch's process group: its processes trust one another. On one host they talk over
loopback, but the key-value store through which they find one another (of torchrun and of Lightning alike) listens on
every address and asks for no password, so several processes belong on a network that is trusted, or behind a firewall.
"""

from __future__ import annotations

from typing import TypeVar

import torch.distributed as dist
from lightning.fabric.utilities.rank_zero import rank_zero_only

from kairos.core.ranks import total, world

__all__ = ["gather", "main_process", "rank", "total", "world"]

Item = TypeVar("Item")


def rank() -> int:
    """This process's number, 0 for the main one."""
    return dist.get_rank() if world() > 1 else 0


def gather(items: list[Item]) -> list[Item]:
    """All ranks' items in rank order, on every rank."""
    if world() == 1:
        return items
    parts: list[list[Item] | None] = [None] * world()
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part or ()]


def main_process() -> bool:
    """Whether this process writes files; known before `torch.distributed` is initialised."""
    return rank_zero_only.rank in (None, 0)
