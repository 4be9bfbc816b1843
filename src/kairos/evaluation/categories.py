"""Scores told apart by category, video or source, and their macro average."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from kairos.evaluation.predictions import Prediction
from kairos.evaluation.scores import means

Grouping = Literal["category", "video", "source", "task"]


def by_group(predictions: Sequence[Prediction], grouping: Grouping) -> dict[str, list[Prediction]]:
    """The rows of each category (or video, ...), by name in order of their first row; "" holds those without one."""
    found: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        found[getattr(prediction, grouping)].append(prediction)
    return dict(found)


def by_category(predictions: Sequence[Prediction]) -> dict[str, dict[str, float]]:
    """For each category the number of its rows, "n", and the mean of each metric; empty if no row names a category."""
    groups = by_group(predictions, "category")
    if set(groups) <= {""}:
        return {}
    return {name: {"n": len(rows), **means(rows)} for name, rows in sorted(groups.items())}


def macro(groups: Mapping[str, Sequence[Prediction]]) -> dict[str, float]:
    """The mean over the groups of each group's mean, for each metric, over the groups that have it."""
    found: dict[str, list[float]] = defaultdict(list)
    for rows in groups.values():
        for name, value in means(rows).items():
            found[name].append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}
