"""Applies metrics to predictions: each prediction stores its values, and a score is their mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from kairos.evaluation.metrics import Share, standard
from kairos.evaluation.predictions import UNKNOWN, Prediction


def scored(predictions: Iterable[Prediction], metrics: Mapping[str, Share]) -> list[Prediction]:
    """The predictions with the value of each metric; ValueError if a metric returns no finite number."""
    return [replace(prediction, scores=_scores(prediction, metrics)) for prediction in predictions]


def scores_of(prediction: Prediction) -> Mapping[str, float]:
    """The values of a prediction's metrics by name; computed with the standard metrics if it has none."""
    return _scores(prediction, standard()) if prediction.scores is None else prediction.scores


def values(predictions: Sequence[Prediction], name: str) -> list[float]:
    """The values of one metric, in the order of `predictions`: the sample behind its mean and interval."""
    return [found[name] for prediction in predictions if name in (found := scores_of(prediction))]


def applied(predictions: Sequence[Prediction]) -> list[str]:
    """The metrics that apply to a prediction of known task, or to any prediction if no task is known.

    A failed prompt of unknown task counts in each of these metrics.
    """
    known = [prediction for prediction in predictions if prediction.task != UNKNOWN] or predictions
    return list(dict.fromkeys(name for prediction in known for name in scores_of(prediction)))


def means(predictions: Sequence[Prediction]) -> dict[str, float]:
    """The mean of every metric that applies. Pass the predictions of all processes: this does not communicate."""
    return {name: sum(found) / len(found) for name in applied(predictions) if (found := values(predictions, name))}


def _scores(prediction: Prediction, metrics: Mapping[str, Share]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, metric in metrics.items():
        value = metric.value(prediction)
        if value is None:
            continue
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(
                f"metrics.{name}: {type(metric).__name__}.value must give a finite number or None, got {value!r} for "
                f"the prompt {prediction.uid!r}"
            )
        found[name] = float(value)
    return found
