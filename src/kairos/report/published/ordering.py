"""Whether an order that a paper published is found again: pair by pair, by intervals over seeds."""

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
    """Two cells of which a paper has `higher` above `lower`; `change` is ours, higher - lower, paired by seed.

    `verdict`: "agrees" or "contradicts" where the 95 % interval excludes 0, "undecided" where it does not or where it
    is NaN because all seeds differ by the same (untrained models), "not measured" with fewer than two common seeds.
    """

    higher: Cell
    lower: Cell
    published: tuple[float, float]
    seeds: int
    change: Interval | None
    verdict: str


def pairs(claim: Published, values: Mapping[str, Mapping[Cell, Mapping[str, float]]]) -> list[Pair]:
    """Every two cells to which the paper gives different numbers. `values`: by row, by (task, score), by seed."""
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
    """What the interval of a difference says of the claim that it is positive.

    >>> verdict(Interval(0.2, 0.1, 0.3)), verdict(Interval(0.2, math.nan, math.nan)), verdict(None)
    ('agrees', 'undecided', 'not measured')
    """
    if change is None:
        return "not measured"
    return "agrees" if change.low > 0 else "contradicts" if change.high < 0 else "undecided"


def tally(found: Sequence[Pair]) -> dict[str, int]:
    """How many pairs have each verdict, all verdicts named."""
    counts = Counter(pair.verdict for pair in found)
    return {name: counts[name] for name in VERDICTS}


def _change(above: Mapping[str, float], below: Mapping[str, float]) -> Interval | None:
    common = [seed for seed in above if seed in below]
    changes = [above[seed] - below[seed] for seed in common]
    if len(changes) > 1 and len(set(changes)) == 1:
        return Interval(changes[0], math.nan, math.nan)
    return over_seeds(changes) if len(changes) > 1 else None
