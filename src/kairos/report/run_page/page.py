"""Writes the page of one run: a self-contained report.html, and its pictures as PNGs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import yaml
from jinja2 import TemplateError
from matplotlib.figure import Figure

from kairos.core.files import write_whole
from kairos.report.browser.section import browser, chosen_of
from kairos.report.html import html
from kairos.report.run_page.before_after import Line, before_and_after, ends, floors_of
from kairos.report.run_page.cells import examples, failures, table, tiles
from kairos.report.run_page.curves import LEARNING, curves
from kairos.report.run_page.header import header
from kairos.report.run_page.intervals import intervals
from kairos.report.run_page.signals import signals
from kairos.report.run_page.timeline import timeline
from kairos.report.style import data_uri, save
from kairos.runs.folder import PlainLoader
from kairos.runs.read import Run, read_run

_FAILURES = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TemplateError,
    TypeError, ValueError,
)  # fmt: skip
"""What drawing can raise: matplotlib's, jinja's and the disk's errors."""


def write_report(folder: Path, summary: Mapping[str, object] | None = None) -> Path:
    """Write `report.html` and `figures/*.png` from a run folder; missing files are named on the page.

    `summary` replaces a summary.json that is not written yet. Needs neither videos nor the model. ValueError if there
    is no such folder, or a predictions file is broken.
    """
    return write_whole(folder.resolve() / "report.html", report_of(folder, summary))


def report_of(folder: Path, summary: Mapping[str, object] | None = None, version: str | None = None) -> str:
    """The HTML of `write_report`, which writes the pictures all the same.

    `version`: of the page of a live run that is served, by which it knows of a later one.
    """
    run = read_run(folder)
    if summary is not None:
        run = replace(run, summary=summary)
    lines = before_and_after(run.before, run.after, run.displays)
    folders = {run.name: run.folder}
    chosen = chosen_of(folders)
    figures: dict[str, Figure | None] = {
        **curves(run.metrics, run.displays, floors_of(run.before or run.after, run.displays), ends(lines)),
        "intervals": intervals(lines),
        "signal": signals([group for each in chosen.values() for group in each.groups]),
        "timeline": timeline(run.before, run.after, run.folder / "strips"),
    }
    pictures = {
        name: data_uri(save(figure, run.folder / "figures" / f"{name}.png"))
        for name, figure in figures.items()
        if figure is not None
    }
    return html("run", {**_values(run, lines, pictures), "browser": browser(folders, chosen, version)})


def try_report(folder: Path, summary: Mapping[str, object] | None = None) -> Path | None:
    """As `write_report`, but a page that cannot be drawn is only said, with the reason and how to draw it again."""
    try:
        return write_report(folder, summary)
    except _FAILURES as error:
        print(
            f"NO REPORT: {folder / 'report.html'} cannot be written ({type(error).__name__}: {error}). The run itself "
            f"is complete; to write the page again: python scripts/report.py \"runs=['{folder}']\"",
            file=sys.stderr,
        )
        return None


def _values(run: Run, lines: Sequence[Line], pictures: Mapping[str, str]) -> dict[str, object]:
    return {
        "name": run.name,
        "header": header(run),
        "overrides": _overrides(run.overrides),
        "notes": run.notes,
        "tiles": tiles(lines),
        "table": table(lines),
        "pictures": pictures,
        "learning": LEARNING,
        "has_metrics": run.iterations > 0,
        "examples": examples(run.before, run.after),
        "reasons": failures(run.before, run.after),
        "files": (
            ("summary.json", json.dumps(run.summary, indent=2) if run.summary is not None else ""),
            ("config.yaml", run.config),
            ("versions.txt", run.versions),
        ),
    }


def _overrides(text: str) -> str:
    listed = yaml.load(text, PlainLoader) if text else None
    return "  ".join(str(item) for item in listed) if isinstance(listed, list) else ""
