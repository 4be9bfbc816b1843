"""How many rows a planned comparison needs: sample size, power and the smallest difference of a paired test.

As in lmms-eval 0.7: with d the differences of two runs on the same rows, n = ((z of alpha + z of power) * sd(d) / d)^2.
"""

from __future__ import annotations

import math
from statistics import NormalDist


def rows_needed(
    difference: float, deviation: float = 0.5, correlation: float = 0.5, alpha: float = 0.05, power: float = 0.8
) -> int:
    """How many rows show a true difference of two runs on the same rows, with this power, in a two-sided test.

    `deviation` is that of each run's scores, `correlation` that between the runs. Rows that share videos need more.

    >>> rows_needed(0.03), rows_needed(0.03, correlation=0.8), rows_needed(0.02)
    (2181, 873, 4906)
    """
    if not difference:
        raise ValueError("no number of rows shows a difference of 0")
    return math.ceil((_reach(alpha, power) * _of_differences(deviation, correlation) / difference) ** 2)


def power_of(
    rows: int, difference: float, deviation: float = 0.5, correlation: float = 0.5, alpha: float = 0.05
) -> float:
    """The probability that `rows` rows show a true difference; arguments as in `rows_needed`.

    >>> round(power_of(2700, 0.02), 4)
    0.5472
    """
    shift = abs(difference) * math.sqrt(rows) / _of_differences(deviation, correlation)
    return NormalDist().cdf(shift - NormalDist().inv_cdf(1 - alpha / 2))


def detectable(
    rows: int, deviation: float = 0.5, correlation: float = 0.5, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The smallest difference that `rows` rows show with this power; arguments as in `rows_needed`.

    >>> round(detectable(2700), 3)
    0.027
    """
    if rows < 1:
        raise ValueError(f"a difference needs at least one row, got {rows}")
    return _reach(alpha, power) * _of_differences(deviation, correlation) / math.sqrt(rows)


def _of_differences(deviation: float, correlation: float) -> float:
    """The standard deviation of a row's difference, from that of each run's scores."""
    if deviation <= 0 or not -1 <= correlation < 1:
        raise ValueError(f"deviation must be > 0 and correlation lie in [-1, 1), got {deviation} and {correlation}")
    return math.sqrt(2 * deviation**2 * (1 - correlation))


def _reach(alpha: float, power: float) -> float:
    """How many standard errors a difference must measure."""
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"alpha and power must lie in (0, 1), got {alpha} and {power}")
    return NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(power)
