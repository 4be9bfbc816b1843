"""Collects the metrics of one iteration: weighted means by name, over all ranks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from kairos.train.devices import ranks
from kairos.train.devices.standing import Doing


class Meter:
    """Collects `group/metric` values; `reduce` gives their means over all ranks and starts afresh."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float | Tensor, float | Tensor]] = {}
        self._largest: dict[str, list[float | Tensor]] = {}
        self.spans: dict[str, tuple[float, float]] = {}
        """When each phase last began and ended, by `time.perf_counter`."""
        self.doing = Doing()
        """What this process is doing; phases say it too."""

    def add(self, name: str, value: float | Tensor, count: float | Tensor = 1.0) -> None:
        """Add `value`, the mean of `count` items; a count of 0 adds nothing.

        Scalar tensors stay on their device until `reduce`, so nothing waits for the GPU.
        """
        value, count = (x.detach().double() if isinstance(x, Tensor) else x for x in (value, count))
        total, number = self._sums.get(name, (0.0, 0.0))
        self._sums[name] = (total + value * count, number + count)

    def put(self, name: str, value: float) -> None:
        """Replace what was collected under `name` on this rank."""
        self._sums[name] = (value, 1.0)

    def top(self, name: str, value: float | Tensor) -> None:
        """Keep `value` if it is the largest of this iteration under `name`, of all ranks."""
        self._largest.setdefault(name, []).append(value.detach() if isinstance(value, Tensor) else value)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time this context as `time/<name>`; waits for the GPU, so that its work counts in its own phase."""
        self.doing.now(name)
        started = _now()
        try:
            yield
        finally:
            ended = _now()
            self.add(f"time/{name}", ended - started)
            self.spans[name] = (started, ended)

    def reduce(self) -> dict[str, float]:
        merged: dict[str, tuple[float, float]] = {}
        own = {name: (float(value), float(count)) for name, (value, count) in self._sums.items() if count > 0}
        own_largest = {name: max(map(float, values)) for name, values in self._largest.items()}
        largest: dict[str, float] = {}
        for sums, tops in ranks.gather([(own, own_largest)]):
            for name, value in tops.items():
                largest[name] = max(value, largest.get(name, value))
            for name, (value, count) in sums.items():
                total, number = merged.get(name, (0.0, 0.0))
                merged[name] = (total + value, number + count)
        self._sums, self._largest = {}, {}
        means = {name: total / number for name, (total, number) in merged.items()}
        return dict(sorted({**means, **largest}.items()))


def _now() -> float:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()
