"""Tests whether our runs reproduce a published order, pair by pair, with intervals over seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from kairos.evaluation.bootstrap import Interval
from kairos.report.comparison.standings import over_seeds
from kairos.report.published.definition import Cell, Published

VERDICTS = ("agrees", "contradicts", "undecided", "not measured")


@dataclass(frozen=True)
class Pair:
    """Two cells that a paper puts in an order."""

    higher: Cell
    lower: Cell
    published: tuple[float, float]
    """The paper's numbers of `higher` and `lower`."""
    seeds: int
    """Number of seeds that both cells have."""
    change: Interval | None
    """Our difference, higher - lower, paired by seed."""
    verdict: str
    """agrees or contradicts: the 95 % interval excludes 0. undecided: it does not, or is NaN because all seeds differ
    by the same (untrained models). not measured: fewer than two common seeds."""


def pairs(claim: Published, values: Mapping[str, Mapping[Cell, Mapping[str, float]]]) -> list[Pair]:
    """All pairs of cells with different published numbers. `values`: ours by row, (task, score) and seed."""
    found: list[Pair] = []
    for one, other in combinations(claim.says, 2):
        if claim.says[one] != claim.says[other]:
            higher, lower = (one, other) if claim.says[one] > claim.says[other] else (other, one)
            above, below = (values.get(row, {}).get((task, claim.score), {}) for row, task in (higher, lower))
            change = _change(above, below)
            seeds = len(above.keys() & below.keys())
            found.append(Pair(higher, lower, (claim.says[higher], claim.says[lower]), seeds, change, verdict(change)))
    return found


def verdict(change: Interval | None) -> str:
    """The verdict on the claim that a difference is positive, from its interval.

    >>> verdict(Interval(0.2, 0.1, 0.3)), verdict(Interval(0.2, math.nan, math.nan)), verdict(None)
    ('agrees', 'undecided', 'not measured')
    """
    if change is None:
        return "not measured"
    return "agrees" if change.low > 0 else "contradicts" if change.high < 0 else "undecided"


def tally(found: Sequence[Pair]) -> dict[str, int]:
    """The number of pairs of each verdict, including verdicts of none."""
    counts = Counter(pair.verdict for pair in found)
    return {name: counts[name] for name in VERDICTS}


def _change(above: Mapping[str, float], below: Mapping[str, float]) -> Interval | None:
    common = [seed for seed in above if seed in below]
    changes = [above[seed] - below[seed] for seed in common]
    if len(changes) > 1 and len(set(changes)) == 1:
        return Interval(changes[0], math.nan, math.nan)
    return over_seeds(changes) if len(changes) > 1 else None
