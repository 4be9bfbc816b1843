"""Reads a run folder: a missing file gives an empty value, a broken one an error or a note."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kairos.core.seals import BrokenFile, read_state
from kairos.evaluation.display import Displays
from kairos.evaluation.metrics import displays, standard
from kairos.evaluation.predictions import Prediction, read_file
from kairos.runs.displays import read_displays
from kairos.runs.series import Series, by_metric


@dataclass(frozen=True)
class Run:
    """What the folder of one run holds."""

    folder: Path
    metrics: Mapping[str, Series]
    """Logged metrics by name."""
    before: tuple[Prediction, ...] = ()
    """Predictions before training."""
    after: tuple[Prediction, ...] = ()
    """Predictions after training."""
    summary: Mapping[str, object] | None = None
    """summary.json; None until the run is finished."""
    config: str = ""
    """Text of config.yaml."""
    overrides: str = ""
    """Text of overrides.yaml."""
    versions: str = ""
    """Text of versions.txt."""
    notes: tuple[str, ...] = ()
    """What could not be read."""
    probes: Mapping[str, tuple[Prediction, ...]] = field(default_factory=dict)
    """Predictions for each probe, by its name."""
    displays: Displays = field(default_factory=lambda: displays(standard()))
    """How the metrics are shown."""

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def iterations(self) -> int:
        """The last iteration that was logged, 0 before there is one."""
        return max((series.at[-1] for series in self.metrics.values()), default=0)


def read_run(folder: Path) -> Run:
    """Read a run folder; ValueError when it is no folder, or a file in it is damaged."""
    folder = folder.resolve()
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a run folder: there is no such folder")
    rows, notes = json_lines(folder / "metrics.jsonl")
    return Run(
        folder=folder,
        metrics=by_metric(rows),
        before=_predictions(folder / "predictions" / "before.jsonl"),
        after=_predictions(folder / "predictions" / "after.jsonl"),
        summary=_summary(folder / "summary.json"),
        config=_text(folder / "config.yaml"),
        overrides=_text(folder / "overrides.yaml"),
        versions=_text(folder / "versions.txt"),
        notes=notes,
        probes={path.parent.name: _predictions(path) for path in probe_predictions(folder)},
        displays=read_displays(folder),
    )


def probe_predictions(folder: Path) -> list[Path]:
    """The prediction files of all probes in a run folder: predictions/<probe>/after.jsonl, sorted."""
    return sorted((folder / "predictions").glob("*/after.jsonl"))


def json_lines(path: Path) -> tuple[list[dict[str, object]], tuple[str, ...]]:
    """The objects of a JSONL file, and notes on other lines: a killed run may leave an incomplete last line."""
    rows: list[dict[str, object]] = []
    notes: list[str] = []
    for number, line in enumerate(path.read_bytes().split(b"\n") if path.is_file() else (), start=1):
        row = _object(line)
        if row is not None:
            rows.append(row)
        elif line:
            notes.append(f"{path.name}: line {number} is not a JSON object and was left out")
    return rows, tuple(notes)


def _object(line: str | bytes) -> dict[str, object] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _predictions(path: Path) -> tuple[Prediction, ...]:
    return tuple(read_file(path)) if path.is_file() else ()


def _text(path: Path) -> str:
    """BrokenFile for a damaged file."""
    return read_state(path) if path.is_file() else ""


def _summary(path: Path) -> dict[str, object] | None:
    text = _text(path)
    summary = _object(text) if text else None
    if text and summary is None:
        raise BrokenFile(f"{path} is not a JSON object: remove it and continue the run, which writes it again")
    return summary
