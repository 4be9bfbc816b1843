"""Reads and writes displays.json, which says how a run's metrics are shown, for readers without the metrics' code."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

from kairos.core.seals import read_state, write_state
from kairos.evaluation.display import Display, Displays
from kairos.evaluation.metrics import displays, standard

DISPLAYS = "displays.json"


def write_displays(run: Path, shown: Displays) -> None:
    """Write how the metrics of a run are shown."""
    rows = {name: asdict(display) for name, display in shown.by_name.items()}
    write_state(run / DISPLAYS, json.dumps(rows, indent=1) + "\n")


def read_displays(run: Path) -> Displays:
    """What `write_displays` wrote, or the standard metrics' displays without a file; ValueError for a broken file."""
    path = run / DISPLAYS
    if not path.is_file():
        return displays(standard())
    names = {field.name for field in fields(Display)}
    try:
        rows = json.loads(read_state(path))
        if not isinstance(rows, dict) or any(set(row) != names for row in rows.values()):
            raise ValueError(f"each metric must have the fields {sorted(names)}")
        return Displays({str(name): Display(**row) for name, row in rows.items()})
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not a file of displays: {error}; remove it for the standard metrics") from error
