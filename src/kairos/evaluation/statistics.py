"""Standard errors, paired tests and repeats of scores: pure functions of one number a row.

The formulas are those of lmms-eval 0.7 and of Miller, arXiv 2411.00640 ("Adding error bars to evals"). `clusters` names
each row's video (or anything that rows share): rows of one video are not independent, and an error that takes them as
independent is too small.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from statistics import fmean, variance
from typing import NamedTuple

from scipy.special import stdtr, stdtrit


class Paired(NamedTuple):
    """The mean difference of two runs on the same rows, and what a two-sided t test says of it."""

    difference: float
    """Mean of after - before."""
    error: float
    """Its standard error."""
    low: float
    high: float
    """Ends of its confidence interval."""
    t: float
    """The difference over its error; 0 where both are 0, infinite where only the error is."""
    p: float
    """The probability of a t at least as large if the runs were equally good."""
    n: int
    """Rows."""


class Repeats(NamedTuple):
    """What k answers to each row say, as means over the rows."""

    expected: float
    """Mean of all scores."""
    majority: float
    """Share of the rows with more than half of their answers right."""
    spread: float
    """Mean variance of a row's scores (k - 1 in the denominator); 0 for one answer each."""
    agreement: float
    """Share of the rows whose answers all have one score."""


def mean_se(scores: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error, with n - 1 in the variance; the error of one score is NaN. ValueError on none.

    >>> [round(value, 5) for value in mean_se([1, 0, 1, 1, 0, 0, 1, 1])]
    [0.625, 0.18298]
    """
    if not scores:
        raise ValueError("the mean of no scores is undefined")
    return fmean(scores), math.sqrt(variance(scores) / len(scores)) if len(scores) > 1 else math.nan


def clustered_se(scores: Sequence[float], clusters: Sequence[Hashable]) -> tuple[float, float]:
    """The mean and its standard error where rows of one cluster hang together: SE^2 + the covariances within clusters.

    sqrt(SE^2 + n^-2 * sum over clusters of ((sum d)^2 - sum d^2)), d the deviations from the mean (Miller, eq. 4).
    With a cluster a row it is `mean_se`. NaN where there is one cluster only: nothing then says how clusters differ.

    >>> round(clustered_se([1, 0, 1, 1, 0, 0, 1, 1], "aabbccdd")[1], 5)
    0.21715
    """
    mean, error = mean_se(scores)
    if len(clusters) != len(scores):
        raise ValueError(f"each score needs its cluster, got {len(scores)} scores and {len(clusters)} clusters")
    within: dict[Hashable, list[float]] = defaultdict(list)
    for score, cluster in zip(scores, clusters, strict=True):
        within[cluster].append(score - mean)
    if len(within) == 1:
        return mean, math.nan
    together = sum(sum(d) ** 2 - sum(value**2 for value in d) for d in within.values())
    return mean, math.sqrt(max(0.0, error**2 + together / len(scores) ** 2))


def paired_test(
    before: Sequence[float],
    after: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Paired:
    """Compares two runs on the same rows, in one order: t with n - 1 degrees of freedom, or one less than clusters.

    ValueError for unequal sides and for fewer than two rows (or clusters).

    >>> found = paired_test([0, 0, 1, 1, 0, 1, 0, 1], [1, 0, 1, 1, 0, 0, 1, 1])
    >>> found.difference, round(found.error, 5), round(found.low, 4), round(found.high, 4), round(found.p, 4)
    (0.125, 0.22658, -0.4108, 0.6608, 0.5983)
    """
    if len(before) != len(after):
        raise ValueError(f"a paired test needs the same rows on both sides, got {len(before)} and {len(after)}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    clusters = range(len(after)) if clusters is None else clusters
    freedom = len(set(clusters)) - 1
    if freedom < 1:
        raise ValueError(f"a paired test needs at least two rows of different clusters, got {len(after)} rows")
    difference, error = clustered_se([b - a for a, b in zip(before, after, strict=True)], clusters)
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * error
    t = difference / error if error else math.copysign(math.inf, difference) if difference else 0.0
    p = 2 * float(stdtr(freedom, -abs(t)))
    return Paired(difference, error, difference - half, difference + half, t, p, len(after))


def pooled_se(sizes: Sequence[int], errors: Sequence[float]) -> float:
    """The standard error of the mean over all rows of several groups, from each group's size and error.

    >>> round(pooled_se([8, 8], [0.18298, 0.18898]), 5)
    0.13152
    """
    total = sum(sizes)
    if len(sizes) != len(errors) or total <= len(sizes):
        raise ValueError(f"each group needs a size above 1 and an error, got {list(sizes)} and {list(errors)}")
    spread = sum((size - 1) * size * error**2 for size, error in zip(sizes, errors, strict=True))
    return math.sqrt(spread / (total - len(sizes)) / total)


def repeats(scores: Sequence[Sequence[float]]) -> Repeats:
    """What repeated answers to each row say: one list of k scores in [0, 1] a row. ValueError on none.

    >>> found = repeats([[1, 1, 0], [0, 0, 0], [1, 1, 1], [1, 0, 0]])
    >>> found.expected, found.majority, round(found.spread, 4), found.agreement
    (0.5, 0.5, 0.1667, 0.5)
    """
    if not scores or not all(scores):
        raise ValueError("each row needs at least one score")
    return Repeats(
        expected=fmean(fmean(row) for row in scores),
        majority=fmean(fmean(row) > 0.5 for row in scores),
        spread=fmean(variance(row) if len(row) > 1 else 0.0 for row in scores),
        agreement=fmean(len(set(row)) == 1 for row in scores),
    )
