"""Metrics of answers that list spans, against all annotated spans as a set. An answer without spans scores 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kairos.core.span_sets import paired_giou, set_giou, set_precision, set_recall, set_tiou
from kairos.core.spans import Span
from kairos.evaluation.benchmarks.matching import event_f1, first_extended, same_count, span_f1
from kairos.evaluation.metrics import Share
from kairos.evaluation.predictions import Prediction


class OfSpans(Share):
    """The mean of a number for stated and annotated spans, over the prompts that ask for a span.

    A subclass says by `compares` which number, or, where that depends on its options, by `compared`.
    """

    compares: Callable[[Sequence[Span], Sequence[Span]], float]

    def value(self, prediction: Prediction) -> float | None:
        if not prediction.target_spans:
            return None
        return self.compared(prediction.spans, prediction.target_spans)

    def compared(self, stated: Sequence[Span], annotated: Sequence[Span]) -> float:
        return self.compares(stated, annotated)


class SetTIoU(OfSpans):
    """Intersection over union of the merged stated spans with the annotated ones, which are not merged."""

    compares = staticmethod(set_tiou)
    label = "tIoU"
    shown = "headline"


class SetPrecision(OfSpans):
    """Share of the stated seconds that are annotated."""

    compares = staticmethod(set_precision)
    label = "precision"
    shown = "table"


class SetRecall(OfSpans):
    """Share of the annotated seconds that are stated."""

    compares = staticmethod(set_recall)
    label = "recall"
    shown = "table"


class SetGIoU(OfSpans):
    """tIoU less the share of the hull outside all spans; below 1 even for a perfect answer with gaps."""

    compares = staticmethod(set_giou)
    label = "GIoU"
    plot_lower_bound = -1.0
    shown = "table"


class PairedGIoU(OfSpans):
    """The GIoU, scaled to [0, 1], of spans paired in order of time (nGIoU)."""

    compares = staticmethod(paired_giou)
    label = "nGIoU"
    shown = "table"


class CountAccuracy(OfSpans):
    """Share of the answers with the right number of spans (C-Acc)."""

    compares = staticmethod(same_count)
    label = "C-Acc"


class SpanF1(OfSpans):
    """tF1@m: the F1 of stated spans matched one to one with annotated ones at an IoU of at least `threshold`."""

    shown = "table"

    def __init__(self, threshold: float, released: bool = False, sync_on_compute: bool = False) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold must lie in (0, 1], got {threshold}")
        self.threshold, self.released, self.label = threshold, released, f"tF1@{threshold:g}"

    def compared(self, stated: Sequence[Span], annotated: Sequence[Span]) -> float:
        if self.released:
            stated, annotated = first_extended(stated), first_extended(annotated)
        return span_f1(stated, annotated, self.threshold)


class EventF1(OfSpans):
    """EtF1: the mean tF1 at 0.3, 0.5 and 0.7 of the answers with the right count, 0 of the others.

    With `released` the earliest span is lengthened before the matching, as OMTG's released evaluation does.
    """

    label = "EtF1"

    def __init__(self, released: bool = False, sync_on_compute: bool = False) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        self.released = released

    def compared(self, stated: Sequence[Span], annotated: Sequence[Span]) -> float:
        if self.released:
            stated, annotated = first_extended(stated), first_extended(annotated)
        return event_f1(stated, annotated)
