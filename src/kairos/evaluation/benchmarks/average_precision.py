"""Average precision as QVHighlights' official evaluation computes it, for windows and for scores of clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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


def _hits(ious: Sequence[Sequence[float]], threshold: float) -> NDArray[np.bool_]:
    """Whether each window, in order, takes a free annotated one."""
    taken: set[int] = set()
    hits = np.zeros(len(ious), dtype=bool)
    for place, row in enumerate(ious):
        free = [other for other in range(len(row)) if other not in taken and row[other] >= threshold]
        if free:
            taken.add(max(free, key=lambda other: row[other]))
            hits[place] = True
    return hits


def _interpolated(hits: NDArray[np.bool_], positives: int) -> float:
    if not len(hits):
        return 0.0
    found = np.cumsum(hits)
    precision = np.maximum.accumulate((found / np.arange(1, len(hits) + 1))[::-1])[::-1]
    return float(precision[hits].sum() / positives)
