"""The summary of a list of predictions: per task its scores with intervals, floors, failures and lengths."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from kairos.evaluation.bootstrap import interval
from kairos.evaluation.floors import annotated, chance, constant_span, full_video
from kairos.evaluation.metrics import SCORES, per_row, scores
from kairos.evaluation.predictions import UNKNOWN, Prediction


def summarise(predictions: Sequence[Prediction], seed: int = 0) -> dict[str, object]:
    """Flat metrics over all predictions, and under "tasks" the same per task with intervals and floors.

    Every value is JSON. `seed` is the bootstrap's. ValueError on no predictions.
    """
    if not predictions:
        raise ValueError("nothing to summarise: there are no predictions")
    by_task: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        by_task[prediction.task].append(prediction)
    if len(by_task) == 2 and UNKNOWN in by_task:  # the only task there is must be theirs
        by_task[next(task for task in by_task if task != UNKNOWN)] += by_task.pop(UNKNOWN)
    return {
        "n": len(predictions),
        **scores(predictions),
        **{name: score for name, score in floors(predictions).items() if isinstance(score, float)},
        "tasks": {task: _task(rows, seed) for task, rows in sorted(by_task.items())},
    }


def flat(summary: Mapping[str, object], prefix: str = "") -> dict[str, float]:
    """The plain numbers of a summary under a prefix, such as "val/": what a log holds of it."""
    return {f"{prefix}{name}": float(value) for name, value in summary.items() if isinstance(value, int | float)}


def floors(predictions: Sequence[Prediction]) -> dict[str, object]:
    """What trivial answers score on the same prompts: `miou_constant`, `miou_full`, `chance`, as far as they apply.

    "constant" and "full" hold the other scores of those floors, "constant_span" says in words which span is best.
    """
    found: dict[str, object] = {}
    targets = annotated(predictions)
    if targets:
        best, whole = constant_span(targets), full_video(targets)
        found |= {"miou_constant": best.miou, "miou_full": whole.miou}
        found |= {"constant_span": str(best), "constant": best.scores(), "full": whole.scores()}
    options = [p.options for p in predictions if p.target_choice is not None and p.options > 0]
    if options:
        found["chance"] = chance(options)
    return found


def reasons(predictions: Sequence[Prediction]) -> dict[str, int]:
    """How often each reason for an unusable answer occurs, the commonest first; details after a colon are left out."""
    counts = Counter(p.reason.partition(":")[0] for p in predictions if p.reason is not None)
    return dict(counts.most_common())


def _task(rows: Sequence[Prediction], seed: int) -> dict[str, object]:
    values = scores(rows)
    asked = [row for row in rows if row.task != UNKNOWN] or list(rows)
    names = [name for name in SCORES if per_row(asked, name)]
    return {
        "n": len(rows),
        "scores": {name: interval(per_row(rows, name), seed=seed)._asdict() for name in names},
        "floors": floors(rows),
        **{name: values[name] for name in ("parse_failures", "length", "truncated") if name in values},
        "reasons": reasons(rows),
        "failed": sum(not row.answered for row in rows),
    }
