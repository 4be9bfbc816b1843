"""One metric over the iterations of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Series:
    """What was logged of one metric: `values` at the iterations `at`, in order."""

    at: tuple[int, ...]
    values: tuple[float, ...]

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
        """What was logged in the last tenth of so many iterations, at least the last value.

        >>> Series((1, 18, 19, 20), (0.0, 1.0, 2.0, 3.0)).last_tenth(20)
        [2.0, 3.0]
        """
        late = [value for i, value in zip(self.at, self.values, strict=True) if i > 0.9 * iterations]
        return late or list(self.values[-1:])


def by_metric(rows: Sequence[Mapping[str, object]]) -> dict[str, Series]:
    """The series of each metric in rows with an "iteration"; logged twice in one iteration, the last value wins."""
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        iteration = row.get("iteration")
        if isinstance(iteration, int):
            for name, value in row.items():
                if name != "iteration" and isinstance(value, int | float) and np.isfinite(value):
                    found.setdefault(name, {})[iteration] = float(value)
    return {
        name: Series(tuple(sorted(points)), tuple(value for _, value in sorted(points.items())))
        for name, points in found.items()
    }
