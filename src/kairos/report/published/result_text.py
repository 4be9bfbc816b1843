"""Writes a result table as markdown: scores with intervals, curves, published orders, and the commands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from kairos.evaluation.bootstrap import Interval
from kairos.evaluation.display import Displays
from kairos.report.comparison.groups import Group
from kairos.report.comparison.standings import displays_of
from kairos.report.published.definition import TableDefinition, TableRow
from kairos.report.published.ordering import Pair, tally


def result_text(
    table: TableDefinition,
    groups: Sequence[Group],
    scores: str,
    curves: Mapping[str, Mapping[str, Sequence[float | None]]],
    compared: Mapping[str, Sequence[Pair]],
    commands: Sequence[str],
) -> str:
    """The whole page; `scores` is the score table as markdown."""
    rows = [f"- {name}: `experiment={row}`{_arm(row)}. {table.about.get(name, '')}" for name, row in table.rows.items()]
    parts = [
        f"# {table.title}",
        "",
        _head(groups),
        "",
        *rows,
        "",
        scores,
        *_curves(curves, displays_of(groups)),
        *_orders(table, compared),
    ]
    return "\n".join([*parts, "```", *commands, "```", ""])


def _arm(row: TableRow) -> str:
    return "" if row.arm is None else f", frames chosen by {row.arm}"


def _head(groups: Sequence[Group]) -> str:
    short = [f"{group.name} ({len(group.runs)})" for group in groups]
    return (
        "Mini world: says that the machinery works, and nothing about any benchmark. Finished seeds: "
        + ", ".join(short) + "."
    )  # fmt: skip


def _curves(curves: Mapping[str, Mapping[str, Sequence[float | None]]], shown: Displays) -> list[str]:
    lines = [
        f"| {row} | {shown[name.rpartition('/')[2]].label} | " + " | ".join(map(_number, series)) + " |"
        for row, found in curves.items()
        for name, series in found.items()
    ]
    parts = max((len(series) for found in curves.values() for series in found.values()), default=0)
    heads = "".join(f" {part + 1}/{parts} |" for part in range(parts))
    return ["**over the iterations**", "", f"| | |{heads}", "|" + "---|" * (parts + 2), *lines, ""] if lines else []


def _orders(table: TableDefinition, compared: Mapping[str, Sequence[Pair]]) -> list[str]:
    lines: list[str] = []
    for claim in table.published:
        found = compared[claim.name]
        counts = ", ".join(f"{count} {name}" for name, count in tally(found).items() if count)
        lines += [f"**Published order**: {claim.source}; {claim.where}. Of {len(found)} pairs {counts}.", ""]
        for pair in found:
            lines.append(
                f"- {_cell(pair, 'higher')} > {_cell(pair, 'lower')} ({pair.published[0]:g} > {pair.published[1]:g}): "
                + (pair.verdict if pair.change is None else f"{pair.verdict}, {_signed(pair.change)}")
            )
        lines.append("")
    if lines:
        lines += ["Agrees, contradicts: the 95 % interval of our paired difference over seeds excludes 0 (each pair by "
                  "itself, without a correction for their number); undecided: it does not.", ""]  # fmt: skip
    return lines


def _cell(pair: Pair, side: str) -> str:
    row, task = pair.higher if side == "higher" else pair.lower
    return row if pair.higher[1] == pair.lower[1] else f"{row}, {task}"


def _signed(change: Interval) -> str:
    known = not math.isnan(change.low)
    return f"{change.mean:+.3f} " + (f"[{change.low:+.3f}, {change.high:+.3f}]" if known else "with every seed")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
