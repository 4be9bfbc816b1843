"""The score table of predictions, overall and by task, with intervals, floors and failures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kairos.evaluation.bootstrap import Interval, clustered_interval
from kairos.evaluation.categories import by_category, by_group, macro
from kairos.evaluation.floors import Floor, annotated, chance, constant_span, full_video
from kairos.evaluation.metrics import Share, standard
from kairos.evaluation.predictions import UNKNOWN, Prediction
from kairos.evaluation.scores import applied, means, scored, scores_of, values


def score_table(
    predictions: Sequence[Prediction], metrics: Mapping[str, Share] | None = None, seed: int = 0
) -> dict[str, object]:
    """Scores over all predictions, and under "tasks" the scores of each task with intervals and floors.

    Where rows name a category, a task has the means of each under "categories", and the mean of those under "macro".

    All values can be written as JSON. `metrics` are those that scored the predictions, by default the standard ones;
    `seed` is for the bootstrap. ValueError without predictions.
    """
    metrics = standard() if metrics is None else metrics
    by_task: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        by_task[prediction.task].append(prediction)
    if len(by_task) == 2 and UNKNOWN in by_task:  # the only task there is must be theirs
        by_task[next(task for task in by_task if task != UNKNOWN)] += by_task.pop(UNKNOWN)
    return {
        **overall(predictions, metrics),
        "tasks": {task: _task(rows, metrics, seed) for task, rows in sorted(by_task.items())},
    }


def overall(predictions: Sequence[Prediction], metrics: Mapping[str, Share] | None = None) -> dict[str, float]:
    """The scores and floors over all predictions of all tasks, and their number "n"; ValueError without any."""
    if not predictions:
        raise ValueError("nothing to score: there are no predictions")
    trivial = {name: value for name, value in floors(predictions, metrics).items() if isinstance(value, float)}
    return {"n": len(predictions), **means(predictions), **trivial}


def floors(predictions: Sequence[Prediction], metrics: Mapping[str, Share] | None = None) -> dict[str, object]:
    """Scores of trivial answers on the same prompts: `miou_constant`, `miou_full` and `chance`, if they apply.

    "constant", "full" and "guess" hold their values in each metric for which higher is better (of the standard ones by
    default); "constant_span" is the best span as text.
    """
    metrics = standard() if metrics is None else metrics
    better = {name: metric for name, metric in metrics.items() if metric.higher_is_better}
    found: dict[str, object] = {}
    targets = annotated(predictions)
    if targets:
        asked = [row for row in predictions if row.target_spans and row.duration is not None]
        best, whole = constant_span(targets), full_video(targets)
        found |= {"miou_constant": best.miou, "miou_full": whole.miou, "constant_span": str(best)}
        found |= {"constant": _always(best, asked, better), "full": _always(whole, asked, better)}
    choices = [p for p in predictions if p.target_choice is not None and p.options > 0]
    if choices:
        found["chance"] = chance([row.options for row in choices])
        found["guess"] = _guessed(choices, better)
    return found


def reasons(predictions: Sequence[Prediction]) -> dict[str, int]:
    """The count of each reason for an unusable answer, most frequent first, without details after a colon."""
    counts = Counter(p.reason.partition(":")[0] for p in predictions if p.reason is not None)
    return dict(counts.most_common())


def _task(rows: Sequence[Prediction], metrics: Mapping[str, Share], seed: int) -> dict[str, object]:
    found = means(rows)
    better = [name for name in applied(rows) if (metric := metrics.get(name)) and metric.higher_is_better]
    return {
        "n": len(rows),
        **({"without_truth": lacking} if (lacking := sum(not row.labelled for row in rows)) else {}),
        "scores": {name: _interval(rows, name, seed)._asdict() for name in better},
        "floors": floors(rows, metrics),
        **{name: value for name, value in found.items() if name not in better},
        "reasons": reasons(rows),
        "failed": sum(not row.answered for row in rows),
        **({"categories": kinds, "macro": macro(by_group(rows, "category"))} if (kinds := by_category(rows)) else {}),
    }


def _interval(rows: Sequence[Prediction], name: str, seed: int) -> Interval:
    """The interval of a score's mean, clustered by video where several questions share one."""
    scored_rows = [row for row in rows if name in scores_of(row)]
    return clustered_interval(values(rows, name), [row.video or row.uid for row in scored_rows], seed=seed)


def _always(floor: Floor, rows: Sequence[Prediction], metrics: Mapping[str, Share]) -> dict[str, float]:
    """The scores of a predictor that answers every prompt with the floor's span."""
    answers = [
        replace(row, text="", spans=(floor.span,), choice=None, reason=None, iou=iou, correct=None)
        for row, iou in zip(rows, floor.ious, strict=True)
    ]
    return means(scored(answers, metrics))


def _guessed(rows: Sequence[Prediction], metrics: Mapping[str, Share]) -> dict[str, float]:
    """The expected scores of a predictor that guesses one of the options uniformly."""
    sides = [
        scored([replace(row, text="", spans=(), reason=None, iou=None, correct=right) for row in rows], metrics)
        for right in (True, False)
    ]
    found: dict[str, list[float]] = defaultdict(list)
    for right, wrong in zip(*sides, strict=True):
        for name, value in (right.scores or {}).items():
            other = (wrong.scores or {}).get(name, 0.0)
            found[name].append(value / right.options + other * (1 - 1 / right.options))
    return {name: sum(each) / len(each) for name, each in found.items()}
