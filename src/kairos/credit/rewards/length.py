"""A penalty for answers close to the length limit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.core.types import Origin, Rollout, RolloutGroup


@dataclass(frozen=True)
class Overlong:
    """0 up to `longest - margin` actions, then falling linearly to -1 at `longest` and beyond: [G] (DAPO).

    An injected row has no length yet and gets 0. ValueError if a row of the policy has none.
    """

    longest: int
    """Actions (tokens)."""
    margin: int
    """Actions before `longest` in which the penalty grows."""

    def __post_init__(self) -> None:
        if not 0 < self.margin <= self.longest:
            raise ValueError(f"margin must lie in (0, longest] actions, got {self.margin} of {self.longest}")

    def __call__(self, group: RolloutGroup) -> Tensor:
        over_G = torch.tensor([_length(rollout) for rollout in group.rollouts]) - (self.longest - self.margin)
        return -(over_G / self.margin).clamp(0.0, 1.0)


def _length(rollout: Rollout) -> int:
    if rollout.actions_A is not None:
        return len(rollout.actions_A)
    if rollout.origin is Origin.POLICY:
        raise ValueError("the length of the policy's answer is not known: a row that is scored again must say `length`")
    return 0
