"""The words and numbers of the run page: tiles, table cells, example answers and counted reasons, ready to print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kairos.evaluation.bootstrap import Interval
from kairos.evaluation.predictions import Prediction
from kairos.evaluation.summary import reasons
from kairos.report.run_page.curves import words
from kairos.report.run_page.tables import Line

EXAMPLES = 12


def tiles(lines: Sequence[Line]) -> list[dict[str, str]]:
    """The headline numbers, four at most: of a single task its scores, of several tasks the main score of each."""
    many = len({line.task for line in lines}) > 1
    names = ("miou", "accuracy") if many else ("miou", "recall_50", "accuracy", "parse_failures")
    return [_tile(line, many) for name in names for line in lines if line.name == name][:4]


def _tile(line: Line, many: bool) -> dict[str, str]:
    final = line.after or line.before
    assert final is not None
    label = f"{words(line.name)}, {line.task.replace('_', ' ')}" if many else words(line.name)
    if line.floor is not None:
        label += f" ({'chance' if line.floor_name == 'chance' else 'best constant'} {line.floor:.3f})"
    both = line.before is not None and line.after is not None
    return {
        "before": _number(line, line.before.mean) if both and line.before is not None else "",
        "value": _number(line, final.mean),
        "label": label,
    }


def table(lines: Sequence[Line]) -> list[dict[str, object]]:
    """One row per line; a task is named in its first row only."""
    return [_cells(line, lines[at - 1] if at else None) for at, line in enumerate(lines)]


def _cells(line: Line, above: Line | None) -> dict[str, object]:
    worse = line.name == "parse_failures"
    change = line.change
    direction = ""
    if change is not None and line.name != "length" and (change.low > 0 or change.high < 0):
        direction = "down" if (change.low > 0) == worse else "up"
    return {
        "task": "" if above is not None and above.task == line.task else line.task.replace("_", " "),
        "name": words(line.name) + (", tokens" if line.name == "length" else ""),
        "n": line.n,
        "before": _cell(line, line.before),
        "after": _cell(line, line.after),
        "change": _cell(line, change, sign="+"),
        "direction": direction,
        "floor": "" if line.floor is None else _number(line, line.floor),
        "floor_name": line.floor_name,
    }


def _cell(line: Line, found: Interval | None, sign: str = "") -> dict[str, str] | None:
    if found is None:
        return None
    low, high = (_number(line, value, sign) for value in (found.low, found.high))
    return {"mean": _number(line, found.mean, sign), "range": f"[{low}, {high}]"}


def _number(line: Line, value: float, sign: str = "") -> str:
    return f"{value:{sign}.1f}" if line.name == "length" else f"{value:{sign}.3f}"


def examples(before: Sequence[Prediction], after: Sequence[Prediction]) -> list[dict[str, str]]:
    """The first prompts of every task in turn, up to a dozen, with what was answered."""
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
    """How often each reason occurred, the commonest first."""
    counted = [reasons(rows) for rows in (before, after)]
    names = sorted({*counted[0], *counted[1]}, key=lambda name: -max(side.get(name, 0) for side in counted))
    shown = [
        {name: side.get(name, 0) if rows else "–" for name in names}
        for side, rows in zip(counted, (before, after), strict=True)
    ]
    return [{"reason": name, "before": shown[0][name], "after": shown[1][name]} for name in names]


def group(rows: Sequence[Mapping[str, object]]) -> list[dict[str, str]]:
    """The rollouts of one group, the best first: text, who wrote it, reward, terms and advantage."""
    ordered = sorted(rows, key=lambda row: -_float(row.get("reward")))
    return [
        {
            "text": _short(str(row.get("text") or f"frames {row.get('actions')}")),
            "origin": str(row.get("origin", "")).replace("_", " "),
            "reward": f"{_float(row.get('reward')):.3f}",
            "terms": _terms(row.get("terms")),
            "advantage": f"{_float(row.get('advantage')):+.2f}",
        }
        for row in ordered
    ]


def _terms(terms: object) -> str:
    if not isinstance(terms, Mapping):
        return ""
    return "  ".join(f"{name} {_float(value):.3g}" for name, value in terms.items())


def _float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _short(text: str) -> str:
    return text if len(text) <= 400 else f"{text[:200]} … {text[-190:]}"
