"""Selectors that draw a number of prompts: at random, around a difficulty, evenly over it, or by mixed buckets.

The noise of a prompt is a function of (seed, uid), so that the order of the rows and the other rows do not matter.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kairos.core.seeds import uniforms
from kairos.curriculum.rewards import ACCURACY, PromptRewards


@dataclass(frozen=True)
class Random:
    """`count` prompts, all alike: the control of every other selection."""

    count: int
    seed: int = 0

    def __call__(self, rows: Sequence[PromptRewards]) -> list[PromptRewards]:
        return drawn(rows, [1.0] * len(rows), self.count, self.seed)


@dataclass(frozen=True)
class Gaussian:
    """`count` prompts without replacement, each with probability proportional to exp(-(p - mu)^2 / (2 sigma^2)).

    p is a prompt's mean value; prompts with p = 0 are dropped first unless `zeros` (Time-R1's "gaussian_03").
    With `bins` the weight is divided by the number of prompts in p's bin of the range of p, so that the drawn ones, and
    not only the chances, follow the bell (TimeLens).
    """

    count: int
    mu: float = 0.3
    sigma: float = 0.2
    bins: int | None = None
    zeros: bool = False
    seed: int = 0
    of: Sequence[str] = ACCURACY

    def __post_init__(self) -> None:
        if self.sigma <= 0 or (self.bins is not None and self.bins < 1):
            raise ValueError(f"gaussian: sigma must be > 0 and bins >= 1, got {self.sigma} and {self.bins}")

    def __call__(self, rows: Sequence[PromptRewards]) -> list[PromptRewards]:
        rows = [row for row in rows if self.zeros or row.mean(self.of) > 0]
        means = [row.mean(self.of) for row in rows]
        weights = [math.exp(-((p - self.mu) ** 2) / (2 * self.sigma**2)) for p in means]
        if self.bins is not None:
            low, width = min(means, default=0.0), max(means, default=0.0) - min(means, default=0.0) or 1.0
            places = [min(self.bins - 1, int((p - low) / width * self.bins)) for p in means]
            crowd = Counter(places)
            weights = [w / crowd[place] for w, place in zip(weights, places, strict=True)]
        return drawn(rows, weights, self.count, self.seed)


@dataclass(frozen=True)
class Linspace:
    """`count` prompts at even distances in the order of their mean value, the highest first (Time-R1's "0070_all")."""

    count: int
    of: Sequence[str] = ACCURACY

    def __call__(self, rows: Sequence[PromptRewards]) -> list[PromptRewards]:
        _enough(len(rows), self.count)
        ordered = sorted(rows, key=lambda row: -row.mean(self.of))
        return [ordered[i * (len(rows) - 1) // max(1, self.count - 1)] for i in range(self.count)]


@dataclass(frozen=True)
class Buckets:
    """`count` prompts from hard, medium and easy ones in proportions `mix`, each drawn with chance spread^`power`.

    The pass rate d is the share of rollouts with a value of at least `right`; d = 0 is dropped, hard is d < `edges[0]`,
    easy d > `edges[1]`. A bucket that runs short gives what it has, and the rest is taken from all others (RITA).
    """

    count: int
    power: float = 1.0
    mix: Sequence[float] = (1, 6, 3)
    edges: Sequence[float] = (0.2, 0.8)
    right: float = 0.5
    seed: int = 0
    of: Sequence[str] = ACCURACY

    def __call__(self, rows: Sequence[PromptRewards]) -> list[PromptRewards]:
        rate = {row.uid: sum(v >= self.right for v in row.values(self.of)) / len(row.values(self.of)) for row in rows}
        alive = [row for row in rows if rate[row.uid] > 0]
        _enough(len(alive), self.count)
        low, high = self.edges
        parts: list[list[PromptRewards]] = [[], [], []]
        for row in alive:
            parts[0 if rate[row.uid] < low else 2 if rate[row.uid] > high else 1].append(row)
        shares = largest_remainder([float(share) for share in self.mix], self.count)
        chosen = {
            row.uid
            for part, share in zip(parts, shares, strict=True)
            for row in self._some(part, min(share, len(part)))
        }
        left = [row for row in alive if row.uid not in chosen]
        chosen |= {row.uid for row in self._some(left, self.count - len(chosen))}
        return [row for row in alive if row.uid in chosen]

    def _some(self, rows: Sequence[PromptRewards], count: int) -> list[PromptRewards]:
        return drawn(rows, [row.spread(self.of) ** self.power for row in rows], count, self.seed)


def drawn(rows: Sequence[PromptRewards], weights: Sequence[float], count: int, seed: int) -> list[PromptRewards]:
    """`count` rows without replacement, one after the other in proportion to their weights; in the order of `rows`.

    By exponential clocks: the `count` smallest of -log(u) / weight are exactly such a draw. Weight 0 comes last.
    """
    _enough(len(rows), count)
    clocks = []
    for place, (row, weight) in enumerate(zip(rows, weights, strict=True)):
        noise = -math.log(float(uniforms(seed, f"select {row.uid}", 1, 1)))
        clocks.append((noise / weight if weight > 0 else math.inf, noise, place))
    return [rows[place] for place in sorted(place for *_, place in sorted(clocks)[:count])]


def largest_remainder(shares: Sequence[float], count: int) -> list[int]:
    """Whole numbers in proportion to `shares` that add up to `count`; what rounding leaves goes to the largest rests.

    >>> largest_remainder([1, 6, 3], 12)
    [1, 7, 4]
    """
    exact = [share * count / sum(shares) for share in shares]
    whole = [math.floor(value) for value in exact]
    rests = sorted(range(len(exact)), key=lambda place: (whole[place] - exact[place], place))
    for place in rests[: count - sum(whole)]:
        whole[place] += 1
    return whole


def _enough(have: int, count: int) -> None:
    if not 0 <= count <= have:
        raise ValueError(f"{count} prompts are to be drawn from {have}: lower the selector's count")
