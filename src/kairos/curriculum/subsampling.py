"""Selectors that draw a given number of prompts: at random, or by their difficulty.

The noise of a prompt is a function of (seed, uid): it does not depend on the other rows or on their order.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kairos.core.seeds import uniforms
from kairos.curriculum.measures import Measure, mean_of, right_of
from kairos.curriculum.rewards import ACCURACY, PromptRewards


@dataclass(frozen=True)
class Random:
    """`count` prompts with equal probability: the control for every other selection."""

    count: int
    seed: int = 0

    def __call__(self, rows: Sequence[PromptRewards]) -> list[PromptRewards]:
        return drawn(rows, [1.0] * len(rows), self.count, self.seed)


@dataclass(frozen=True)
class Gaussian:
    """`count` prompts without replacement, each with probability proportional to exp(-(p - mu)^2 / (2 sigma^2)).

    p is a prompt's mean value (Time-R1's "gaussian_03").
    """

    count: int
    mu: float = 0.3
    sigma: float = 0.2
    bins: int | None = None
    """Divide each weight by the number of prompts in p's bin, so that the drawn p follow the Gaussian (TimeLens)."""
    zeros: bool = False
    """Keep prompts with p = 0; otherwise they are dropped first."""
    seed: int = 0
    of: Sequence[str] = ACCURACY
    """Terms to read: the first one that a prompt has."""

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

    def measures(self, rows: Sequence[PromptRewards]) -> list[Measure]:
        return [mean_of(rows, self.of)]


@dataclass(frozen=True)
class Linspace:
    """`count` prompts at equal distances in the order of their mean values, highest first (Time-R1's "0070_all")."""

    count: int
    of: Sequence[str] = ACCURACY

    def __call__(self, rows: Sequence[PromptRewards]) -> list[PromptRewards]:
        _enough(len(rows), self.count)
        ordered = sorted(rows, key=lambda row: -row.mean(self.of))
        return [ordered[i * (len(rows) - 1) // max(1, self.count - 1)] for i in range(self.count)]

    def measures(self, rows: Sequence[PromptRewards]) -> list[Measure]:
        return [mean_of(rows, self.of)]


@dataclass(frozen=True)
class Buckets:
    """`count` prompts, drawn from hard, medium and easy ones in given proportions (RITA).

    The pass rate d is the share of right rollouts; prompts with d = 0 are dropped. If a bucket has too few prompts, the
    rest is drawn from all others.
    """

    count: int
    power: float = 1.0
    """Within a bucket a prompt's weight is the standard deviation of its values to this power."""
    mix: Sequence[float] = (1, 6, 3)
    """Proportions of hard, medium and easy prompts."""
    edges: Sequence[float] = (0.2, 0.8)
    """Hard is d below the first, easy is d above the second."""
    right: float = 0.5
    """A rollout is right if its value is at least this."""
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

    def measures(self, rows: Sequence[PromptRewards]) -> list[Measure]:
        return [right_of(rows, self.of, self.right, *self.edges)]

    def _some(self, rows: Sequence[PromptRewards], count: int) -> list[PromptRewards]:
        return drawn(rows, [row.spread(self.of) ** self.power for row in rows], count, self.seed)


def drawn(rows: Sequence[PromptRewards], weights: Sequence[float], count: int, seed: int) -> list[PromptRewards]:
    """`count` rows drawn without replacement in proportion to their weights, returned in the order of `rows`.

    Takes the `count` smallest of -log(u) / weight (exponential clocks). Rows of weight 0 come last.
    """
    _enough(len(rows), count)
    clocks = []
    for place, (row, weight) in enumerate(zip(rows, weights, strict=True)):
        noise = -math.log(float(uniforms(seed, f"select {row.uid}", 1, 1)))
        clocks.append((noise / weight if weight > 0 else math.inf, noise, place))
    return [rows[place] for place in sorted(place for *_, place in sorted(clocks)[:count])]


def largest_remainder(shares: Sequence[float], count: int) -> list[int]:
    """Whole numbers in proportion to `shares` that add up to `count`; largest fractions are rounded up first.

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
        raise ValueError(
            f"{count} prompts are to be drawn, and only {have} can be: lower selector.count (in select_prompts), or "
            "curriculum.subset.selector.count (in training), to that number"
        )
