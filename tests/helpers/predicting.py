"""Builds predictions for tests of metrics, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kairos.core.spans import Span, answer_iou
from kairos.evaluation.metrics import Share
from kairos.evaluation.predictions import Prediction

Pairs = Sequence[Sequence[float]]


def said(stated: Pairs = (), annotated: Pairs = (), uid: str = "a", many: bool = False, **fields: object) -> Prediction:
    """What one answer states and what is right, in seconds; other fields by name."""
    spans, right = tuple(Span(*pair) for pair in stated), tuple(Span(*pair) for pair in annotated)
    compared = answer_iou(spans if many else spans[:1], right, many) if right else None
    prediction = Prediction(
        uid=uid, task="grounding", source="s", question="", text="", length=0, truncated=False, spans=spans,
        choice=None, reason=None if spans else "no_pair_of_times", target_spans=right, target_choice=None, options=0,
        duration=100.0,
        iou=compared, correct=None, many=many,
    )  # fmt: skip
    return replace(prediction, **fields)


def mean(metric: Share, predictions: Sequence[Prediction]) -> float:
    """The metric over predictions, as torchmetrics computes it."""
    metric.reset()
    metric.update(predictions)
    return float(metric.compute())
