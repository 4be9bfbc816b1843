"""Average precision as QVHighlights' official evaluation computes it, for windows and for scores of clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kairos.core.spans import Span, iou

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""IoU 0.5, 0.55, ..., 0.95."""
Window = tuple[float, float, float]


def window_precisions(stated: Sequence[Window], annotated: Sequence[Span], most: int = 10) -> list[float]:
    """The average precision of one query at each of `THRESHOLDS`.

    The first `most` windows in the order given are kept, then sorted by their score; each takes the free annotated
    window of highest IoU and is right if that reaches the threshold (VOC's interpolated precision).
    """
    ordered = sorted(stated[:most], key=lambda window: -window[2])
    ious = [[iou(Span(start, end), span) for span in annotated] for start, end, _ in ordered]
    return [_interpolated(_hits(ious, threshold), len(annotated)) for threshold in THRESHOLDS]


def score_precision(labels: Sequence[bool], scores: Sequence[float]) -> float:
    """The average precision of one annotator's right clips; 0 where no clip is right, 1 where all are.

    Scores are cut, or filled with 0, to the number of clips. Equal scores are one step. The mean of the running maximum
    of the precision, over the steps at which the recall rises.

    >>> score_precision([True, False, True], [0.9, 0.5, 0.5])
    0.8333333333333333
    """
    right = np.asarray(labels, dtype=bool)
    if right.all() or not right.any():
        return float(right.all()) if len(right) else 0.0
    padded = np.zeros(len(right))
    padded[: len(scores)] = np.asarray(scores, dtype=np.float64)[: len(right)]
    order = np.argsort(-padded, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(padded[order]) != 0, True))  # the last clip of each step
    hits = np.cumsum(right[order])[ends]
    precision = np.maximum.accumulate((hits / (ends + 1))[::-1])[::-1]
    return float(precision[np.diff(hits, prepend=0) > 0].mean())


def _hits(ious: Sequence[Sequence[float]], threshold: float) -> list[bool]:
    """Whether each window, in order, takes a free annotated one."""
    taken: set[int] = set()
    hits: list[bool] = []
    for row in ious:
        free = [other for other, value in enumerate(row) if value >= threshold and other not in taken]
        if free:
            taken.add(max(free, key=lambda other: row[other]))
        hits.append(bool(free))
    return hits


def _interpolated(hits: Sequence[bool], positives: int) -> float:
    """The sum, over the hits, of the best precision from there on; in shares of the annotated windows."""
    precisions = [sum(hits[:place]) / place for place in range(1, len(hits) + 1)]
    best = total = 0.0
    for hit, precision in zip(reversed(hits), reversed(precisions), strict=True):
        best = max(best, precision)
        total += best * hit
    return total / positives
