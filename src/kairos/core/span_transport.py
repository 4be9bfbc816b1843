"""How far the stated seconds must move to become the annotated ones: a distance that is not flat where spans are apart.

TimeLens2 (arXiv 2607.17423): the 1-Wasserstein distance between the uniform distributions on the two sets, in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from kairos.core.span_sets import covered
from kairos.core.spans import Span, union


def transport_distance(stated: Sequence[Span], annotated: Sequence[Span]) -> float:
    """The integral of the difference of the two distribution functions, in seconds; ValueError where a set is empty.

    >>> transport_distance([Span(10, 20)], [Span(15, 25)])
    5.0
    """
    left, right = union(stated), union(annotated)
    if not left or not right:
        raise ValueError("the distance needs seconds on both sides")
    times = sorted({time for span in (*left, *right) for time in span})
    gaps = [_below(time, left) - _below(time, right) for time in times]
    steps = zip(pairwise(times), pairwise(gaps), strict=True)
    return sum(_area(gap, following, later - time) for (time, later), (gap, following) in steps)


def transport_score(
    stated: Sequence[Span], annotated: Sequence[Span], beta: float = 1.0, over_both: bool = False
) -> float:
    """exp(-beta * distance / length), in [0, 1]; 1 where both sets are empty, 0 where one is.

    The length is that of the annotated seconds (released since July 2026), or, with `over_both`, of all stated and
    annotated seconds (the first release).
    """
    if not union(stated) or not union(annotated):
        return float(not union(stated) and not union(annotated))
    length = covered([*stated, *annotated]) if over_both else covered(annotated)
    return math.exp(-beta * transport_distance(stated, annotated) / length)


def _below(time: float, disjoint: Sequence[Span]) -> float:
    """Share of the seconds of disjoint spans that lie before `time`."""
    return sum(min(max(time - span.start, 0.0), span.length) for span in disjoint) / covered(disjoint)


def _area(gap: float, following: float, seconds: float) -> float:
    """The area between a line from `gap` to `following` and 0."""
    size = abs(gap) + abs(following)
    if gap * following >= 0:
        return seconds * size / 2
    return seconds * (gap * gap + following * following) / (2 * size)
