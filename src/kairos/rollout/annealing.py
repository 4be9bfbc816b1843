"""A sampling schedule: the temperature changes linearly over a run."""

from __future__ import annotations

from dataclasses import dataclass

from kairos.core.types import Sampling


@dataclass(frozen=True)
class Annealed(Sampling):
    """`temperature` at the first iteration, `last` at the final one, and a straight line between (TSPO's schedule).

    >>> Annealed(temperature=0.025, last=0.01).at(0, 10).temperature
    0.025
    >>> round(Annealed(temperature=0.025, last=0.01).at(9, 10).temperature, 6)
    0.01
    """

    last: float = 1.0
    """Temperature at the final iteration."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.last < 0:
            raise ValueError(f"sampling.last must be >= 0, got {self.last}")

    def at(self, iteration: int, iterations: int) -> Sampling:
        done = min(1.0, iteration / max(1, iterations - 1))
        return Sampling(
            temperature=self.temperature + done * (self.last - self.temperature),
            top_p=self.top_p,
            top_k=self.top_k,
            max_actions=self.max_actions,
            group_size=self.group_size,
        )
