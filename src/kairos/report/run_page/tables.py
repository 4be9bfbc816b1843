"""Before and after as a table: per task its scores with intervals, the paired change, and the trivial floors beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kairos.evaluation.bootstrap import Interval, interval, paired
from kairos.evaluation.metrics import SCORES, per_row
from kairos.evaluation.predictions import UNKNOWN, Prediction
from kairos.evaluation.summary import floors

RATES = ("parse_failures", "length")


@dataclass(frozen=True)
class Line:
    """One score of one task. `change` is paired by prompt; `floor` is the best constant span's score, or chance."""

    task: str
    name: str
    n: int
    before: Interval | None
    after: Interval | None
    change: Interval | None
    floor: float | None
    floor_name: str


def before_and_after(before: Sequence[Prediction], after: Sequence[Prediction], seed: int = 0) -> list[Line]:
    """The lines of the table, task by task; a side without predictions is None in each line."""
    tasks = sorted({p.task for p in (*before, *after)})
    if len(tasks) == 2 and UNKNOWN in tasks:  # prompts that failed unnamed: the only task there is must be theirs
        tasks.remove(UNKNOWN)
    lines: list[Line] = []
    for task in tasks:
        sides = [[p for p in rows if p.task == task or p.task not in tasks] for rows in (before, after)]
        lines += _lines(task, sides[0], sides[1], seed)
    return lines


def _lines(task: str, before: list[Prediction], after: list[Prediction], seed: int) -> list[Line]:
    asked = [p for p in (before or after) if p.task != UNKNOWN]
    trivial = floors(before or after)
    found: list[Line] = []
    for name in (*(score for score in SCORES if per_row(asked, score)), *RATES):
        sides = [interval(values, seed=seed) if (values := per_row(rows, name)) else None for rows in (before, after)]
        if sides == [None, None]:
            continue
        floor, called = _floor(trivial, name)
        change = _change(before, after, name, seed)
        found.append(Line(task, name, len(after or before), sides[0], sides[1], change, floor, called))
    return found


def _floor(trivial: dict[str, object], name: str) -> tuple[float | None, str]:
    constant, chance = trivial.get("constant"), trivial.get("chance")
    if name == "accuracy" and isinstance(chance, float):
        return chance, "chance"
    if isinstance(constant, dict) and name in constant:
        return float(constant[name]), f"constant {trivial['constant_span']}"
    return None, ""


def _change(before: list[Prediction], after: list[Prediction], name: str, seed: int) -> Interval | None:
    """Paired over the prompts that count on both sides; None unless both sides hold the same prompts."""
    rows = [{p.uid: p for p in side} for side in (before, after)]
    if not before or rows[0].keys() != rows[1].keys():
        return None
    pairs = [
        (first[0], second[0])
        for uid in rows[0]
        if (first := per_row([rows[0][uid]], name)) and (second := per_row([rows[1][uid]], name))
    ]
    return paired([a for a, _ in pairs], [b for _, b in pairs], seed=seed) if pairs else None
