"""VUE-TR's areas under curves: for every threshold, the share of answers whose overlap reaches it.

Published values come from spans rounded outward to whole seconds (conf/convention/vue_tr.yaml), and their precision and
recall from one sweep over both lists as they stand (`released`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np

from kairos.core.span_sets import set_precision, set_recall, set_tiou
from kairos.core.spans import Span
from kairos.evaluation.metrics import Share
from kairos.evaluation.predictions import Prediction

_THRESHOLDS: list[float] = np.linspace(0, 1, 101).tolist()  # rounded as theirs: 0.29 does not reach the one at 0.29


class OverlapAUC(Share):
    """The area under the curve of `of` (iou, precision, recall), over the prompts that ask for a span.

    The trapezoid rule over 101 thresholds. IoU must exceed one, precision and recall must reach it, as published.
    An answer without a span is 0 (a published recall or precision of 0 is .005: it reaches the threshold 0).
    `released`: precision and recall by `swept_overlap`, and precision over the answers with a length only.
    """

    def __init__(self, of: str, released: bool = False, shown: str = "page", sync_on_compute: bool = False) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        if of not in ("iou", "precision", "recall"):
            raise ValueError(f"of must be iou, precision or recall, got {of!r}")
        self.of, self.released, self.shown = of, released, shown
        self.label = f"{'IoU' if of == 'iou' else of} AUC{' as released' if released else ''}"

    def value(self, prediction: Prediction) -> float | None:
        stated, annotated = prediction.spans, prediction.target_spans
        if not annotated:
            return None
        if not stated and not self.released:
            return 0.0
        if self.of == "iou":
            return area(set_tiou(stated, annotated), strict=True)
        if not self.released:
            return area((set_precision if self.of == "precision" else set_recall)(stated, annotated), strict=False)
        length = sum(abs(end - start) for start, end in (stated if self.of == "precision" else annotated))
        return area(swept_overlap(stated, annotated) / length, strict=False) if length else None


def area(value: float, strict: bool) -> float:
    """The area under the step that is 1 where `value` exceeds (or reaches) a threshold, by the trapezoid rule.

    >>> area(0.5, strict=True), area(0.5, strict=False), area(1.0, strict=False), area(0.0, strict=True)
    (0.495, 0.505, 1.0, 0.0)
    """
    reached = (bisect_left if strict else bisect_right)(_THRESHOLDS, value)
    steps = len(_THRESHOLDS) - 1
    return max(0.0, min(1.0, (reached - 0.5) / steps)) if reached <= steps else 1.0


def swept_overlap(stated: Sequence[Span], annotated: Sequence[Span]) -> float:
    """Seconds that one pass over both lists finds, in the order given and without merging; reversed spans are turned.

    Lists that are not in order of time lose overlaps, and spans that overlap count twice.

    >>> swept_overlap([Span(4, 6), Span(0, 2)], [Span(0, 10)])
    4.0
    >>> swept_overlap([Span(6, 8), Span(0, 2)], [Span(0, 3), Span(5, 9)])
    2.0
    """
    left = [Span(*sorted(span)) for span in annotated]
    right = [Span(*sorted(span)) for span in stated]
    total, here, there = 0.0, 0, 0
    while here < len(left) and there < len(right):
        a, b = left[here], right[there]
        total += max(0.0, min(a.end, b.end) - max(a.start, b.start))
        if a.end < b.end:
            here += 1
        else:
            there += 1
    return total
