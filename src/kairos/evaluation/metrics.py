"""Metrics over predictions, as torchmetrics classes; an unusable answer counts as 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torchmetrics import Metric

from kairos.evaluation.display import Display, Displays
from kairos.evaluation.predictions import Prediction


class Share(Metric):
    """The mean over predictions of one number, `value`; predictions without it (None) are left out. NaN without any.

    A subclass implements `value` and says by class attributes how the mean is shown (see `Display`): torchmetrics'
    `higher_is_better`, `plot_lower_bound` and `plot_upper_bound`, and the four below. Our own evaluation gathers the
    predictions of all processes first; elsewhere `sync_on_compute=True` sums over the processes.
    """

    higher_is_better: bool | None = True
    plot_lower_bound: float | None = 0.0
    plot_upper_bound: float | None = 1.0
    full_state_update = False
    label: str = ""
    """The heading; empty: the name in the config."""
    unit: str = ""
    digits: int = 3
    shown: str = "page"
    """headline, page, table or log."""
    total: Tensor
    count: Tensor

    def __init__(self, sync_on_compute: bool = False) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        self.add_state("total", default=torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", default=torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def value(self, prediction: Prediction) -> float | None:
        """What one prediction contributes; None if the metric does not apply to it."""
        raise NotImplementedError

    def update(self, predictions: Sequence[Prediction]) -> None:
        values = [value for prediction in predictions if (value := self.value(prediction)) is not None]
        self.total += sum(values)
        self.count += len(values)

    def compute(self) -> Tensor:
        return self.total / self.count

    def display(self, name: str) -> Display:
        """How this metric, called `name` in the config, is shown."""
        return Display(
            label=self.label or name.replace("_", " "),
            higher_is_better=self.higher_is_better,
            lowest=self.plot_lower_bound,
            highest=self.plot_upper_bound,
            unit=self.unit,
            digits=self.digits,
            shown=self.shown,
        )


class MeanIoU(Share):
    """Mean IoU of predicted and annotated spans, over the prompts that ask for a span."""

    label = "mIoU"
    shown = "headline"

    def value(self, prediction: Prediction) -> float | None:
        return prediction.iou


@runtime_checkable
class Strict(Protocol):
    """A metric with an inequality that some evaluations make strict."""

    def strictly(self) -> Share:
        """The same metric with > in the place of >=."""
        ...


class Recall(Share):
    """R1@m: share of the prompts that ask for a span whose IoU is at least `threshold`, or exceeds it (`strict`)."""

    def __init__(
        self, threshold: float, shown: str = "table", strict: bool = False, sync_on_compute: bool = False
    ) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold must lie in (0, 1], got {threshold}")
        self.threshold, self.label, self.shown, self.strict = threshold, f"R1@{threshold:g}", shown, strict

    def value(self, prediction: Prediction) -> float | None:
        if prediction.iou is None:
            return None
        return float(prediction.iou > self.threshold if self.strict else prediction.iou >= self.threshold)

    def strictly(self) -> Recall:
        return Recall(self.threshold, self.shown, strict=True)


class Accuracy(Share):
    """Share of right letters, over the prompts that ask for a choice."""

    shown = "headline"

    def value(self, prediction: Prediction) -> float | None:
        return None if prediction.correct is None else float(prediction.correct)


class ParseFailures(Share):
    """Share of all prompts without a usable answer: unparsable, failed or missing."""

    higher_is_better = False

    def value(self, prediction: Prediction) -> float | None:
        return float(prediction.reason is not None)


class Length(Share):
    """Mean length in tokens, over all answers that a model gave."""

    higher_is_better = None
    plot_upper_bound = None
    unit = "tokens"
    digits = 1
    shown = "table"

    def value(self, prediction: Prediction) -> float | None:
        return float(prediction.length) if prediction.answered else None


class Truncated(Share):
    """Share of answers that ran into the length limit, over all answers that a model gave."""

    higher_is_better = False
    shown = "log"

    def value(self, prediction: Prediction) -> float | None:
        return float(prediction.truncated) if prediction.answered else None


@cache
def standard() -> Mapping[str, Share]:
    """The metrics of `conf/metrics/default.yaml`, by name; also used for predictions written without scores."""
    return {
        "miou": MeanIoU(),
        "recall_30": Recall(0.3),
        "recall_50": Recall(0.5, shown="page"),
        "recall_70": Recall(0.7),
        "accuracy": Accuracy(),
        "parse_failures": ParseFailures(),
        "length": Length(),
        "truncated": Truncated(),
    }


def displays(metrics: Mapping[str, Share]) -> Displays:
    """The displays of given metrics."""
    return Displays({name: metric.display(name) for name, metric in metrics.items()})
