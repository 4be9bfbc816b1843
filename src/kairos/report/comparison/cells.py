"""Formats the tables of a comparison: cells as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypedDict

from kairos.evaluation.bootstrap import Interval
from kairos.evaluation.display import Display
from kairos.report.comparison.standings import OTHER_PROMPTS, Standing


class Row(TypedDict):
    """One group: one cell for each column of the table."""

    name: str
    runs: str
    cells: list[dict[str, str]]


class Table(TypedDict):
    """The table of one task; its columns are scores."""

    task: str
    columns: list[str]
    rows: list[Row]


_CELL = ("mean", "range", "prompts", "before", "change", "change_range", "no_change", "direction")


def tables(rows: Sequence[Standing], names: Sequence[str]) -> list[Table]:
    """One table for each task, with rows in the order of `names`."""
    found: list[Table] = []
    for task in dict.fromkeys(row.task for row in rows):
        scores = list(dict.fromkeys(row.name for row in rows if row.task == task))
        by_place = {(row.group, row.name): row for row in rows if row.task == task}
        lines = [_row(name, [by_place.get((name, score)) for score in scores]) for name in names]
        found.append(
            {
                "task": task.replace("_", " "),
                "columns": [next(row.heading for row in rows if row.name == score) for score in scores],
                "rows": [line for line in lines if any(each["mean"] for each in line["cells"])],
            }
        )
    return found


def cell(found: Mapping[str, str]) -> str:
    """A cell as one line of text."""
    if not found["mean"]:
        return "–"
    change = f"(Δ {found['change']} {found['change_range']})" if found["change"] else ""
    parts = [found["mean"], found["range"], found["prompts"], change, found["no_change"]]
    return " ".join(part for part in parts if part)


def difference_rows(differences: Mapping[str, Sequence[object]]) -> list[tuple[str, list[str]]]:
    """One row for each key that differs; classes and functions without their module."""
    return [(key, [_short(key, value) for value in values]) for key, values in differences.items()]


def _row(name: str, standings: Sequence[Standing | None]) -> Row:
    runs = max((standing.runs for standing in standings if standing is not None), default=0)
    return {"name": name, "runs": str(runs), "cells": [_cell(standing) for standing in standings]}


def _cell(found: Standing | None) -> dict[str, str]:
    if found is None:
        return dict.fromkeys(_CELL, "")
    display, change = found.display, found.change
    return {
        "mean": display.number(found.value.mean),
        "range": _range(display, found.value),
        "prompts": "" if found.prompts is None else f"n = {found.prompts}",
        "before": "" if found.before is None else display.number(found.before),
        "change": "" if change is None else display.number(change.mean, "+"),
        "change_range": "" if change is None else _range(display, change, "+"),
        "no_change": OTHER_PROMPTS if found.change_over == OTHER_PROMPTS else "",
        "direction": display.direction(change),
    }


def _range(display: Display, found: Interval, sign: str = "") -> str:
    if math.isnan(found.low):
        return ""
    return f"[{display.number(found.low, sign)}, {display.number(found.high, sign)}]"


def _short(key: str, value: object) -> str:
    return str(value).rpartition(".")[2] if key.endswith("_target_") else "–" if value is None else str(value)
