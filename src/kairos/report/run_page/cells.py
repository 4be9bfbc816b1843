"""Formats the run page's content: headline numbers, table cells, example answers and counted failures."""

from __future__ import annotations

from collections.abc import Sequence

from kairos.evaluation.bootstrap import Interval
from kairos.evaluation.predictions import Prediction
from kairos.evaluation.score_table import reasons
from kairos.report.run_page.before_after import Line

EXAMPLES = 12


def tiles(lines: Sequence[Line]) -> list[dict[str, str]]:
    """At most four headline numbers: the scores of a single task, or the main score of each of several tasks."""
    many = len({line.task for line in lines}) > 1
    shown = [line for line in lines if (line.display.shown == "headline" if many else line.display.on_page)]
    names = list(dict.fromkeys(line.name for line in shown))
    return [_tile(line, many) for name in names for line in shown if line.name == name][:4]


def _tile(line: Line, many: bool) -> dict[str, str]:
    final = line.after or line.before
    assert final is not None
    label = f"{line.display.label}, {line.task.replace('_', ' ')}" if many else line.display.label
    if line.floor is not None:
        label += f" ({'chance' if line.floor_name == 'chance' else 'best constant'} {line.display.number(line.floor)})"
    both = line.before is not None and line.after is not None
    return {
        "before": line.display.number(line.before.mean) if both and line.before is not None else "",
        "value": line.display.number(final.mean),
        "label": label,
    }


def table(lines: Sequence[Line]) -> list[dict[str, object]]:
    """One table row per line; only the first row of a task names it."""
    return [_cells(line, lines[at - 1] if at else None) for at, line in enumerate(lines)]


def _cells(line: Line, above: Line | None) -> dict[str, object]:
    display = line.display
    return {
        "task": "" if above is not None and above.task == line.task else line.task.replace("_", " "),
        "name": display.label + (f", {display.unit}" if display.unit else ""),
        "n": line.n,
        "before": _cell(line, line.before),
        "after": _cell(line, line.after),
        "change": _cell(line, line.change, sign="+"),
        "direction": display.direction(line.change),
        "floor": "" if line.floor is None else display.number(line.floor),
        "floor_name": line.floor_name,
    }


def _cell(line: Line, found: Interval | None, sign: str = "") -> dict[str, str] | None:
    if found is None:
        return None
    low, high = (line.display.number(value, sign) for value in (found.low, found.high))
    return {"mean": line.display.number(found.mean, sign), "range": f"[{low}, {high}]"}


def examples(before: Sequence[Prediction], after: Sequence[Prediction]) -> list[dict[str, str]]:
    """Up to a dozen prompts, taken from all tasks in turn, with their answers."""
    sides = [{p.uid: p for p in rows} for rows in (before, after)]
    by_task: dict[str, list[Prediction]] = {}
    for row in after or before:
        by_task.setdefault(row.task, []).append(row)
    share = -(-EXAMPLES // max(1, len(by_task)))
    return [
        {
            "question": row.question,
            "truth": _truth(row),
            "before": _said(sides[0].get(row.uid)),
            "after": _said(sides[1].get(row.uid)),
        }
        for rows in by_task.values()
        for row in rows[:share]
    ]


def _truth(row: Prediction) -> str:
    spans = ", ".join(f"{span.start:.1f} to {span.end:.1f} s" for span in row.target_spans)
    return " ".join(part for part in (row.target_choice, spans) if part)


def _said(row: Prediction | None) -> str:
    if row is None:
        return "–"
    text = _short(row.text)
    return f"{text}  ({row.reason})" if row.reason is not None else text


def failures(before: Sequence[Prediction], after: Sequence[Prediction]) -> list[dict[str, object]]:
    """The count of each reason for an unusable answer before and after training, most frequent first."""
    counted = [reasons(rows) for rows in (before, after)]
    names = sorted({*counted[0], *counted[1]}, key=lambda name: -max(side.get(name, 0) for side in counted))
    shown = [
        {name: side.get(name, 0) if rows else "–" for name in names}
        for side, rows in zip(counted, (before, after), strict=True)
    ]
    return [{"reason": name, "before": shown[0][name], "after": shown[1][name]} for name in names]


def _short(text: str) -> str:
    return text if len(text) <= 400 else f"{text[:200]} … {text[-190:]}"
