"""Bootstrap confidence intervals of means over prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

_CHUNK = 4_000_000  # resampled numbers held at once


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float], confidence: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """The percentile bootstrap interval of a mean. Equal inputs give equal intervals; ValueError on no values.

    >>> interval([1.0, 1.0, 1.0])
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or len(data) == 0:
        raise ValueError("the interval of a mean needs at least one value")
    low, high = _ends(lambda index: data[index].mean(axis=1), len(data), confidence, resamples, seed)
    return Interval(float(data.mean()), low, high)


def clustered_interval(
    values: Sequence[float],
    clusters: Sequence[str],
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """As `interval`, but whole clusters are drawn: rows of one video hang together. ValueError on no values.

    Where no two rows share a cluster it is `interval`.

    >>> clustered_interval([0.0, 0.0, 1.0, 1.0], ["a", "a", "b", "b"])
    Interval(mean=0.5, low=0.0, high=1.0)
    """
    if len(clusters) != len(values):
        raise ValueError(f"each value needs its cluster, got {len(values)} values and {len(clusters)} clusters")
    names = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    if len(names) == len(values):
        return interval(values, confidence, resamples, seed)
    places = [names[name] for name in clusters]
    counts = np.bincount(places).astype(np.float64)
    sums = np.bincount(places, weights=np.asarray(values, dtype=np.float64))
    low, high = _ends(
        lambda index: sums[index].sum(axis=1) / counts[index].sum(axis=1), len(names), confidence, resamples, seed
    )
    return Interval(float(sums.sum() / counts.sum()), low, high)


def _ends(
    means_of: Callable[[np.ndarray], np.ndarray], count: int, confidence: float, resamples: int, seed: int
) -> tuple[float, float]:
    """The interval of the means of resamples; `means_of` gets [resamples, count] of the places drawn from `count`."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    if resamples < 1:
        raise ValueError(f"resamples must be >= 1, got {resamples}")
    generator = np.random.default_rng(seed)
    rows = max(1, _CHUNK // count)
    sizes = [(min(rows, resamples - done), count) for done in range(0, resamples, rows)]
    means = np.concatenate([means_of(generator.integers(0, count, size=size)) for size in sizes])
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def paired(
    before: Sequence[float], after: Sequence[float], confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """The interval of mean(after - before), paired by prompt: far narrower than the difference of two intervals.

    >>> paired([0.0, 0.5], [0.25, 0.75])
    Interval(mean=0.25, low=0.25, high=0.25)
    """
    if len(before) != len(after):
        raise ValueError(
            f"a paired difference needs the same prompts on both sides, got {len(before)} and {len(after)}"
        )
    return interval(np.subtract(after, before).tolist(), confidence, resamples, seed)
