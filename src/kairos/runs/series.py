"""A metric over the iterations of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

TOTAL_REWARD = "reward/total"
_OF_ALL_TERMS = (TOTAL_REWARD, "reward/spread", "reward/no_spread")
_PARSED = "parse/failures"
"""Logged in every iteration that counts reasons."""


@dataclass(frozen=True)
class Series:
    """The logged values of one metric."""

    at: tuple[int, ...]
    """Iterations, rising."""
    values: tuple[float, ...]
    """The value at each of them."""

    def __len__(self) -> int:
        return len(self.at)

    def smooth(self) -> list[float]:
        """A centred running mean over about a tenth of the points, narrower at both ends.

        >>> Series(tuple(range(20)), (0.0, 1.0) * 10).smooth()[:3]
        [0.5, 0.5, 0.5]
        """
        width = max(1, len(self) // 10)
        before, after = (width - 1) // 2, width // 2
        return [float(np.mean(self.values[max(0, i - before) : i + after + 1])) for i in range(len(self))]

    def last_tenth(self, iterations: int) -> list[float]:
        """The values logged in the last tenth of `iterations`, at least the last value.

        >>> Series((1, 18, 19, 20), (0.0, 1.0, 2.0, 3.0)).last_tenth(20)
        [2.0, 3.0]
        """
        late = [value for i, value in zip(self.at, self.values, strict=True) if i > 0.9 * iterations]
        return late or list(self.values[-1:])


def by_metric(rows: Sequence[Mapping[str, object]]) -> dict[str, Series]:
    """The series of each metric in rows with an "iteration"; the last value of an iteration counts.

    A reason for parse failures (`parse/<reason>`) that was not logged in an iteration is 0 there.

    >>> by_metric([{"iteration": 1, "parse/failures": 0.5, "parse/no_pair": 2}, {"iteration": 2, "parse/failures": 0}])[
    ...     "parse/no_pair"
    ... ]
    Series(at=(1, 2), values=(2.0, 0.0))
    """
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        iteration = row.get("iteration")
        if isinstance(iteration, int):
            for name, value in row.items():
                if name != "iteration" and isinstance(value, int | float) and np.isfinite(value):
                    found.setdefault(name, {})[iteration] = float(value)
    counted = found.get(_PARSED, {})
    for name, points in found.items():
        if name.startswith("parse/"):
            found[name] = dict.fromkeys(counted, 0.0) | points
    return {
        name: Series(tuple(sorted(points)), tuple(value for _, value in sorted(points.items())))
        for name, points in found.items()
    }


def reward_terms(logged: Iterable[str]) -> list[str]:
    """The logged names of a reward's terms, raw values, without shape and weight.

    >>> reward_terms(["reward/total", "reward/iou", "val/miou"])
    ['reward/iou']
    """
    return [name for name in logged if name.startswith("reward/") and name not in _OF_ALL_TERMS]
