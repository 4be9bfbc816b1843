"""Metrics over predictions: a torchmetrics class each, in which an unusable answer is a counted zero."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from kairos.evaluation.predictions import UNKNOWN, Prediction

RECALLS = (0.3, 0.5, 0.7)


class Share(Metric):
    """The mean of one number per prediction; predictions to which it does not apply (None) are left out.

    NaN while nothing applied. Sums over processes are exact, so the value does not depend on how rows are spread.
    """

    higher_is_better = True
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, sync_on_compute: bool = True) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        self.add_state("total", default=torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", default=torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def value(self, prediction: Prediction) -> float | None:
        """What one prediction contributes, or None."""
        raise NotImplementedError

    def update(self, predictions: Sequence[Prediction]) -> None:
        values = [value for prediction in predictions if (value := self.value(prediction)) is not None]
        self.total += sum(values)
        self.count += len(values)

    def compute(self) -> Tensor:
        return self.total / self.count


class MeanIoU(Share):
    """Mean IoU of predicted and annotated spans, over the prompts that ask for a span."""

    def value(self, prediction: Prediction) -> float | None:
        return prediction.iou


class Recall(Share):
    """R1@m: share of the prompts that ask for a span whose IoU is at least `threshold`."""

    def __init__(self, threshold: float, sync_on_compute: bool = True) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold must lie in (0, 1], got {threshold}")
        self.threshold = threshold

    def value(self, prediction: Prediction) -> float | None:
        return None if prediction.iou is None else float(prediction.iou >= self.threshold)


class Accuracy(Share):
    """Share of the prompts that ask for a choice which got the right letter."""

    def value(self, prediction: Prediction) -> float | None:
        return None if prediction.correct is None else float(prediction.correct)


class ParseFailures(Share):
    """Share of all prompts without a usable answer: unparsable, failed or missing."""

    higher_is_better = False

    def value(self, prediction: Prediction) -> float | None:
        return float(prediction.reason is not None)


class Length(Share):
    """Mean length in tokens of the answers that a model gave."""

    higher_is_better = None

    def value(self, prediction: Prediction) -> float | None:
        return float(prediction.length) if prediction.answered else None


class Truncated(Share):
    """Share of the answers that a model gave which ran into the limit."""

    higher_is_better = False

    def value(self, prediction: Prediction) -> float | None:
        return float(prediction.truncated) if prediction.answered else None


SCORES: tuple[str, ...] = ("miou", *(f"recall_{round(100 * m)}" for m in RECALLS), "accuracy")
"""The names of the scores, in the order of tables."""


def metrics(sync_on_compute: bool = True) -> MetricCollection:
    """All metrics by the names that logs and summaries use; with `sync_on_compute` over all processes."""
    kinds = {"miou": MeanIoU, "accuracy": Accuracy}
    kinds |= {f"recall_{round(100 * m)}": partial(Recall, m) for m in RECALLS}
    kinds |= {"parse_failures": ParseFailures, "length": Length, "truncated": Truncated}
    shares = {name: kind(sync_on_compute=sync_on_compute) for name, kind in kinds.items()}
    return MetricCollection(shares, compute_groups=False)


def per_row(predictions: Sequence[Prediction], name: str) -> list[float]:
    """The numbers behind one metric's mean, in the order of `predictions`: what an interval is drawn from."""
    metric = metrics()[name]
    assert isinstance(metric, Share)
    return [value for prediction in predictions if (value := metric.value(prediction)) is not None]


def scores(predictions: Sequence[Prediction]) -> dict[str, float]:
    """Every metric that applies to at least one of `predictions`, as a plain number: what validation logs.

    `predictions` are those of all processes: nothing is asked of the others.
    A prompt that failed without anybody knowing its task counts in each score that some other prompt has.
    """
    known = {name for name in SCORES for p in predictions if p.task != UNKNOWN and _applies(p, name)}
    collection = metrics(sync_on_compute=False)
    collection.update(predictions)
    unasked = {name for name in SCORES if name not in known} if known else set()
    return {
        name: float(value)
        for name, value in collection.compute().items()
        if not bool(torch.isnan(value)) and name not in unasked
    }


def _applies(prediction: Prediction, name: str) -> bool:
    return (prediction.correct if name == "accuracy" else prediction.iou) is not None
