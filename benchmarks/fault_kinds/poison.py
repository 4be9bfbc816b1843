"""A term of the loss that is not finite at some updates, on one rank or on all, and 0 at the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch.distributed as dist
from torch import Tensor

from kairos.core.ranks import world
from kairos.core.types import ActionStats, Needs, RolloutBatch


class Poison:
    """`updates` counts from 1 in each process; with micro-batches each of them counts."""

    needs = Needs()

    def __init__(self, updates: Sequence[int], rank: int | None = None, factor: float = float("nan")) -> None:
        self.updates, self.rank, self.factor, self.done = tuple(updates), rank, factor, 0

    def __call__(self, stats: ActionStats, batch: RolloutBatch) -> Tensor:
        del batch
        self.done += 1
        here = self.rank is None or self.rank == (dist.get_rank() if world() > 1 else 0)
        return stats.logprobs_BA * (self.factor if here and self.done in self.updates else 0.0)
