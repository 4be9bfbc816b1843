"""The table of scores before and after training, with intervals, paired changes and floors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kairos.evaluation.bootstrap import Interval, interval, paired
from kairos.evaluation.display import Display, Displays
from kairos.evaluation.metrics import displays, standard
from kairos.evaluation.predictions import UNKNOWN, Prediction
from kairos.evaluation.score_table import floors
from kairos.evaluation.scores import applied, scores_of, values


@dataclass(frozen=True)
class Line:
    """One score of one task."""

    task: str
    name: str
    """Name of the metric in the config."""
    display: Display
    n: int
    """Number of prompts."""
    before: Interval | None
    after: Interval | None
    change: Interval | None
    """after - before, paired by prompt."""
    floor: float | None
    """Score of the best constant span, or chance."""
    floor_name: str


def before_and_after(
    before: Sequence[Prediction], after: Sequence[Prediction], shown: Displays | None = None, seed: int = 0
) -> list[Line]:
    """The lines of the table by task; `before` or `after` is None in each line if it has no predictions.

    `shown` says which metrics belong in tables, by default the standard ones.
    """
    shown = displays(standard()) if shown is None else shown
    tasks = sorted({p.task for p in (*before, *after)})
    if len(tasks) == 2 and UNKNOWN in tasks:  # prompts that failed unnamed: the only task there is must be theirs
        tasks.remove(UNKNOWN)
    by_task = {task: applied([p for p in (*before, *after) if p.task == task]) for task in tasks if task != UNKNOWN}
    of_every_task = [name for name in shown if all(name in names for names in by_task.values())]
    lines: list[Line] = []
    for task in tasks:
        sides = [[p for p in rows if p.task == task or p.task not in tasks] for rows in (before, after)]
        lines += _lines(task, by_task.get(task, of_every_task), sides[0], sides[1], shown, seed)
    return lines


def ends(lines: Sequence[Line]) -> dict[str, tuple[float | None, float | None]]:
    """By metric: its value before and after training, for the metrics of a single task."""
    found = {line.name: (line.before and line.before.mean, line.after and line.after.mean) for line in lines}
    return found if len({line.task for line in lines}) == 1 else {}


def floors_of(predictions: Sequence[Prediction], shown: Displays) -> dict[str, tuple[float, str]]:
    """By metric: the score of the best constant span or of guessing, and a name for it.

    Only for the standard metrics: a run folder does not hold the code of others.
    """
    trivial = floors(predictions)
    named = (("constant", f"constant {trivial.get('constant_span')}"), ("guess", "chance"))
    found: dict[str, tuple[float, str]] = {}
    for kind, called in named:
        scores = trivial.get(kind)
        found |= {name: (value, called) for name, value in scores.items()} if isinstance(scores, dict) else {}
    return {name: floor for name, floor in found.items() if shown[name] == standard()[name].display(name)}


def _lines(
    task: str,
    names: Sequence[str],
    before: list[Prediction],
    after: list[Prediction],
    shown: Displays,
    seed: int,
) -> list[Line]:
    trivial = floors_of(before or after, shown)
    found: list[Line] = []
    for name in (name for name in shown if shown[name].in_tables and name in names):
        sides = [interval(each, seed=seed) if (each := values(rows, name)) else None for rows in (before, after)]
        if sides == [None, None]:
            continue
        floor, called = trivial.get(name, (None, ""))
        change = _change(before, after, name, seed)
        found.append(Line(task, name, shown[name], len(after or before), sides[0], sides[1], change, floor, called))
    return found


def _change(before: list[Prediction], after: list[Prediction], name: str, seed: int) -> Interval | None:
    """after - before over the prompts that have this score; None unless both sides have the same prompts."""
    sides = [{p.uid: scores_of(p).get(name) for p in side} for side in (before, after)]
    if not before or sides[0].keys() != sides[1].keys():
        return None
    pairs = [(a, b) for uid, a in sides[0].items() if a is not None and (b := sides[1][uid]) is not None]
    return paired([a for a, _ in pairs], [b for _, b in pairs], seed=seed) if pairs else None
