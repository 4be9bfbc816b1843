"""Writes a result table as markdown, from its JSON alone: scores with intervals, curves, published orders, commands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

from kairos.evaluation.bootstrap import Interval
from kairos.evaluation.display import Display, Displays
from kairos.evaluation.metrics import displays, standard
from kairos.report.comparison.page import markdown
from kairos.report.comparison.standings import Standing
from kairos.report.published.definition import TableDefinition, TableRow
from kairos.report.published.ordering import VERDICTS

Json = Mapping[str, object]


def result_text(table: TableDefinition, whole: Json) -> str:
    """The whole page of a result (`write_result`); older files lack some fields."""
    shown = _displays(whole)
    about = [
        f"- {name}: `experiment={row}`{_arm(row)}. {table.about.get(name, '')}" for name, row in table.rows.items()
    ]
    rows = [_standing(row, shown) for row in cast("Sequence[Json]", whole["rows"])]
    parts = [
        f"# {table.title}",
        "",
        _head(cast("Mapping[str, Sequence[str]]", whole["seeds"])),
        "",
        *about,
        "",
        markdown(rows, list(table.rows), table.baseline),
        *_curves(cast("Mapping[str, Mapping[str, Sequence[float | None]]]", whole["over_time"]), shown),
        *_orders(cast("Sequence[Json]", whole["published"])),
    ]
    return "\n".join([*parts, "```", *cast("Sequence[str]", whole["commands"]), "```", ""])


def _displays(whole: Json) -> Displays:
    stored = cast("Mapping[str, Mapping[str, object]]", whole.get("displays", {}))
    found = {name: Display(**says) for name, says in stored.items()}  # type: ignore[arg-type]
    return Displays(found) | displays(standard())


def _standing(row: Json, shown: Displays) -> Standing:
    name = str(row["score"])
    change = cast("Json | None", row["difference"])
    return Standing(
        group=str(row["row"]),
        task=str(row["task"]),
        name=name,
        heading=shown.heading(name),
        display=shown[name.rpartition("/")[2]],
        runs=cast("int", row["n"]),
        prompts=cast("int | None", row.get("prompts")),
        value=_interval(row),
        over=str(row["over"]),
        before=None,
        change=None if change is None else _interval(change),
        change_over=str(row.get("difference_over", "")),
    )


def _interval(found: Json) -> Interval:
    values = [math.nan if found[name] is None else float(cast("float", found[name])) for name in Interval._fields]
    return Interval(*values)


def _arm(row: TableRow) -> str:
    return "" if row.arm is None else f", frames chosen by {row.arm}"


def _head(seeds: Mapping[str, Sequence[str]]) -> str:
    short = [f"{row} ({len(finished)})" for row, finished in seeds.items()]
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


def _orders(published: Sequence[Json]) -> list[str]:
    lines: list[str] = []
    for claim in published:
        found = cast("Sequence[Json]", claim["pairs"])
        counts = ", ".join(f"{claim[name]} {name}" for name in VERDICTS if claim[name])
        lines += [f"**Published order**: {claim['source']}; {claim['where']}. Of {len(found)} pairs {counts}.", ""]
        for pair in found:
            above, below = cast("Sequence[float]", pair["published"])
            difference = cast("Json | None", pair["difference"])
            lines.append(
                f"- {_cell(pair, 'higher')} > {_cell(pair, 'lower')} ({above:g} > {below:g}): {pair['verdict']}"
                + ("" if difference is None else f", {_signed(_interval(difference))}")
            )
        lines.append("")
    if lines:
        lines += ["Agrees, contradicts: the 95 % interval of our paired difference over seeds excludes 0 (each pair by "
                  "itself, without a correction for their number); undecided: it does not.", ""]  # fmt: skip
    return lines


def _cell(pair: Json, side: str) -> str:
    row, task = cast("tuple[str, str]", pair[side])
    higher, lower = cast("tuple[str, str]", pair["higher"]), cast("tuple[str, str]", pair["lower"])
    return row if higher[1] == lower[1] else f"{row}, {task}"


def _signed(change: Interval) -> str:
    known = not math.isnan(change.low)
    return f"{change.mean:+.3f} " + (f"[{change.low:+.3f}, {change.high:+.3f}]" if known else "with every seed")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
