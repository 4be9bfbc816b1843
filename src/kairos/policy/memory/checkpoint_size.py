"""Estimates what writing a checkpoint needs: room on the disk, and memory of the host."""

from __future__ import annotations

from dataclasses import dataclass

from kairos.policy.memory.sizes import Sizes
from kairos.policy.memory.workload import Workload

HELD = 3
"""Checkpoints on the disk while one is written: with `keep=last` two are kept (`keep=all` keeps every one)."""


@dataclass(frozen=True)
class CheckpointSize:
    """What one checkpoint needs, in bytes."""

    disk: float
    """The file."""
    host: float
    """Memory of the main process's machine while the file is written. No device needs more than for learning."""


def checkpoint_size(sizes: Sizes, load: Workload) -> CheckpointSize:
    """Weights and moments in fp32; frozen weights as they are held, but none beside an adapter.

    They are written one tensor at a time: from a GPU each passes through the host, the largest of them the embedding.
    Sharded ones (fsdp2) are all gathered on the host first.
    """
    frozen = 0 if sizes.adapter else (2 if load.gpu and load.shards == 1 else 4) * sizes.frozen
    disk = (4 + load.moments) * sizes.trained + frozen
    largest = min(disk, 4 * sizes.vocabulary * sizes.hidden)
    return CheckpointSize(disk, disk if load.shards > 1 else largest if load.gpu else 0)
