"""What metrics say of predictions: each prediction carries its own numbers, and a score is the mean of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from kairos.evaluation.metrics import Share, standard
from kairos.evaluation.predictions import UNKNOWN, Prediction


def scored(predictions: Iterable[Prediction], metrics: Mapping[str, Share]) -> list[Prediction]:
    """The predictions with what each metric says of them; ValueError where one says what is no number."""
    return [replace(prediction, scores=_scores(prediction, metrics)) for prediction in predictions]


def scores_of(prediction: Prediction) -> Mapping[str, float]:
    """What the metrics said of a prediction; of one that nobody scored, what the standard ones say."""
    return _scores(prediction, standard()) if prediction.scores is None else prediction.scores


def values(predictions: Sequence[Prediction], name: str) -> list[float]:
    """The numbers behind one metric's mean, in the order of `predictions`: what an interval is drawn from."""
    return [found[name] for prediction in predictions if name in (found := scores_of(prediction))]


def applied(predictions: Sequence[Prediction]) -> list[str]:
    """The metrics that apply to at least one of the predictions whose task is known; to any, where none is known.

    A prompt that failed without anybody knowing its task counts in each metric that some other prompt has.
    """
    known = [prediction for prediction in predictions if prediction.task != UNKNOWN] or predictions
    return list(dict.fromkeys(name for prediction in known for name in scores_of(prediction)))


def means(predictions: Sequence[Prediction]) -> dict[str, float]:
    """The mean of every metric that applies. `predictions` are those of all processes: nothing is asked of others."""
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
