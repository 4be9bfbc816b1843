"""Scores of lists of spans by matching one span to one: tF1, count accuracy and EtF1 (OMTG, arXiv 2606.06294)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from kairos.core.spans import Span, iou, union

THRESHOLDS = (0.3, 0.5, 0.7)
"""The IoU of a match, in EtF1."""


def matched_ious(stated: Sequence[Span], annotated: Sequence[Span]) -> list[float]:
    """The IoU of each pair of the one-to-one matching with the highest sum of IoU."""
    ious_SA = np.array([[iou(a, b) for b in annotated] for a in stated]).reshape(len(stated), len(annotated))
    rows, columns = linear_sum_assignment(ious_SA, maximize=True)
    return ious_SA[rows, columns].tolist()


def span_f1(stated: Sequence[Span], annotated: Sequence[Span], threshold: float) -> float:
    """tF1: the F1 of matches with an IoU of at least `threshold`; 1 where both lists are empty, 0 where one is.

    >>> round(span_f1([Span(0, 10)], [Span(0, 10), Span(5, 15)], 0.5), 6)
    0.666667
    """
    if not stated or not annotated:
        return float(not stated and not annotated)
    hits = sum(value >= threshold for value in matched_ious(stated, annotated))
    return 2 * hits / (len(stated) + len(annotated))


def same_count(stated: Sequence[Span], annotated: Sequence[Span]) -> float:
    """1.0 if as many spans are stated as annotated, neither merged; else 0.0."""
    return float(len(stated) == len(annotated))


def event_f1(stated: Sequence[Span], annotated: Sequence[Span]) -> float:
    """EtF1: the mean tF1 over `THRESHOLDS` if the count is right, else 0."""
    f1s = [span_f1(stated, annotated, threshold) for threshold in THRESHOLDS]
    return same_count(stated, annotated) * sum(f1s) / len(f1s)


def first_extended(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The spans as the released OMTG evaluation matches them: its merge lengthens the earliest span first.

    The count stays; the earliest span reaches to the end of all that it touches, one after the other.
    """
    ordered = sorted(spans)
    if not ordered:
        return ()
    return (Span(ordered[0].start, union(ordered)[0].end), *ordered[1:])
