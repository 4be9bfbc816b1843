"""Prints scores with their manifest: the only way in which a script shows the scores of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from rich.console import Console
from rich.table import Column, Table

from kairos.evaluation.manifest import ScoredRows

Task = Mapping[str, object]


def print_scores(found: ScoredRows, console: Console | None = None) -> None:
    """A table of the scores by task, then the manifest in one line."""
    console = console or Console()
    table = Table(
        "task", Column("n", no_wrap=True), "score", "value", "95 % interval", "floor", "parse failures",
        title=f"template {found.label}",
    )  # fmt: skip
    for task, row in cast("Mapping[str, Task]", found.scores["tasks"]).items():
        floors = _floors(row)
        failed = row.get("parse_failures")
        count = f"{row['n']} ({row['without_truth']} without truth)" if "without_truth" in row else str(row["n"])
        scores = cast("Mapping[str, Mapping[str, float]]", row["scores"])
        if not scores:  # nothing says what is right
            table.add_row(task, count, "none", "", "", "", "" if failed is None else f"{failed:.3f}")
        for name, value in scores.items():
            table.add_row(
                task, count, name, f"{value['mean']:.3f}", f"{value['low']:.3f} to {value['high']:.3f}",
                f"{floors[name]:.3f}" if name in floors else "", "" if failed is None else f"{failed:.3f}",
            )  # fmt: skip
    console.print(table)
    console.print(found.manifest.line(), highlight=False, markup=False, soft_wrap=True)


def _floors(row: Task) -> Mapping[str, float]:
    floors = cast("Mapping[str, Mapping[str, float]]", row["floors"])
    return {**floors.get("constant", {}), **floors.get("guess", {})}
