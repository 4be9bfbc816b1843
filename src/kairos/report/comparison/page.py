"""Writes the comparison of several runs: report.html, report.md, report.csv and curves.png."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from kairos.core.files import write_whole
from kairos.report.browser.section import browser, chosen_of
from kairos.report.comparison.cells import cell, difference_rows, tables
from kairos.report.comparison.groups import config_difference, grouped
from kairos.report.comparison.picture import compare
from kairos.report.comparison.standings import Standing, standings
from kairos.report.html import html
from kairos.report.style import data_uri
from kairos.runs.folder import LOG
from kairos.runs.read import Run, read_run

_SIGNS = ("config.yaml", "metrics.jsonl", LOG)
_COLUMNS = (
    "group", "task", "score", "runs", "prompts", "mean", "low", "high", "over", "before", "change", "change_low",
    "change_high", "change_over",
)  # fmt: skip


def write_comparison(folders: Sequence[Path], output: Path, baseline: str | None = None) -> Path:
    """Compare runs and write the page with its files into the folder `output`; returns the page's path.

    Differences are from the group `baseline` (default: the first). ValueError if no run has logged an iteration.
    """
    runs = [read_run(folder) for folder in folders]
    begun = [run for run in runs if run.iterations]
    picture = compare(begun, output / "curves.png")
    groups = grouped(begun)
    rows = standings(groups, baseline)
    first = groups[0].name if baseline is None else baseline
    folders_of = _named(begun)
    values = {
        "name": output.name,
        "baseline": first if len(groups) > 1 else "",
        "tables": tables(rows, [group.name for group in groups]),
        "picture": data_uri(picture),
        "names": [group.name for group in groups],
        "differences": difference_rows(config_difference(groups)),
        "runs": [_state(run, output) for run in runs],
        "browser": browser(folders_of, chosen_of(folders_of)),
        "state": f"{sum(run.summary is not None for run in runs)} of {len(runs)} runs finished",
    }
    write_whole(output / "report.csv", _csv(rows))
    write_whole(output / "report.md", markdown(rows, [group.name for group in groups], first))
    return write_whole(output / "report.html", html("comparison", values))


def jobs_of(sweep: Path) -> list[Path]:
    """The run folders of a sweep, in order; ValueError when there is no such folder."""
    if not sweep.is_dir():
        raise ValueError(f"{sweep} is not the folder of a sweep: there is no such folder")
    return sorted(path for path in sweep.iterdir() if any((path / sign).exists() for sign in _SIGNS))


def draw_sweep(sweep: Path) -> None:
    """Write the page of a sweep's runs so far, and print its path.

    Jobs that end at the same time draw one after another, so that the last page holds all of them.
    """
    with FileLock(sweep / ".report.lock"):
        jobs = jobs_of(sweep)
        try:
            print(f"{len(jobs)} jobs compared: {write_comparison(jobs, sweep)}", flush=True)
        except ValueError as error:
            print(f"no comparison: {error}", flush=True)


def markdown(rows: Sequence[Standing], names: Sequence[str], baseline: str) -> str:
    """Markdown: one table for each task, with groups as rows and scores as columns."""
    parts: list[str] = []
    for table in tables(rows, names):
        heads = ["", "runs", *map(str, table["columns"])]
        parts += [f"**{table['task']}**", "", _line(heads), "|" + "---|" * len(heads)]
        for row in table["rows"]:
            parts.append(_line([row["name"], row["runs"], *(cell(each) for each in row["cells"])]))
        parts.append("")
    parts.append(
        "Mean and 95 % interval: Student's over seeds; bootstrapped over prompts with one seed, or with one number "
        f"from all; Δ: paired difference from {baseline}, only over the same n prompts."
    )
    return "\n".join(parts) + "\n"


def _named(runs: Sequence[Run]) -> dict[str, Path]:
    """Folders by a name that no two of them share."""
    names = [run.name for run in runs]
    return {
        run.name if names.count(run.name) == 1 else f"{run.folder.parent.name}/{run.name}": run.folder for run in runs
    }


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"


def _csv(rows: Sequence[Standing]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        change = row.change or (None, None, None)
        writer.writerow(
            [
                row.group,
                row.task,
                row.heading,
                row.runs,
                row.prompts,
                *row.value,
                row.over,
                row.before,
                *change,
                row.change_over,
            ]
        )
    return text.getvalue()


def _state(run: Run, output: Path) -> dict[str, str]:
    seconds = (run.summary or {}).get("seconds")
    page = run.folder / "report.html"
    return {
        "name": run.name,
        "state": "finished" if run.summary is not None else "begun" if run.config else "failed before it began",
        "iterations": str(run.iterations),
        "seconds": f"{seconds:.0f}" if isinstance(seconds, int | float) else "",
        "page": Path(os.path.relpath(page, output.resolve())).as_posix() if page.exists() else "",
    }
