"""Metrics of answers that must also say when: NExT-GQA's IoP and grounded accuracy. Annotated spans stand alone."""

from __future__ import annotations

from kairos.core.spans import Span
from kairos.evaluation.metrics import Share
from kairos.evaluation.predictions import Prediction


class IoP(Share):
    """Intersection over prediction: the share of the stated span inside the best annotated span.

    With a `threshold`, the share of the prompts where it reaches that.
    """

    def __init__(self, threshold: float | None = None, shown: str = "table", sync_on_compute: bool = False) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        if threshold is not None and not 0 < threshold <= 1:
            raise ValueError(f"threshold must lie in (0, 1], or be null for the mean, got {threshold}")
        self.threshold, self.shown = threshold, shown
        self.label = "mIoP" if threshold is None else f"IoP@{threshold:g}"

    def value(self, prediction: Prediction) -> float | None:
        if not prediction.target_spans:
            return None
        best = best_iop(prediction)
        return best if self.threshold is None else float(best >= self.threshold)


class GroundedAccuracy(Share):
    """Acc@GQA: share of the prompts that ask for both with the right letter and an IoP of at least `threshold`."""

    label = "Acc@GQA"
    shown = "headline"

    def __init__(self, threshold: float = 0.5, sync_on_compute: bool = False) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        self.threshold = threshold

    def value(self, prediction: Prediction) -> float | None:
        if prediction.correct is None or not prediction.target_spans:
            return None
        return float(prediction.correct and best_iop(prediction) >= self.threshold)


def best_iop(prediction: Prediction) -> float:
    """The highest IoP of the first stated span with an annotated one; 0 without a span."""
    if not prediction.spans:
        return 0.0
    return max(iop(prediction.spans[0], span) for span in prediction.target_spans)


def iop(stated: Span, annotated: Span) -> float:
    """Share of the stated span inside the annotated one; for a moment without length 1 inside, else 0.

    >>> iop(Span(0, 4), Span(3, 9)), iop(Span(5, 5), Span(3, 9))
    (0.25, 1.0)
    """
    shared = min(stated.end, annotated.end) - max(stated.start, annotated.start)
    if stated.end <= stated.start:
        return float(stated.end == stated.start and shared >= 0)
    return max(0.0, shared) / (stated.end - stated.start)
