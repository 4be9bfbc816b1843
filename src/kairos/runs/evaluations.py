"""Gives each evaluation of a run a folder of its own in the run's, and says there what was evaluated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import yaml

from kairos.runs.names import digest
from kairos.runs.versions import versions

_ASKED = "evaluated.yaml"
_PLACED = ("run=", "split=")
"""Said by the folder's place and name."""


def new_evaluation(run: Path, checkpoint: Path | None, split: str, overrides: Sequence[str]) -> Path:
    """Make `<run>/evaluation/<split>-<checkpoint>` with its evaluated.yaml, never one that exists.

    Overrides beyond run and split add a hash to the name, and a repeated evaluation a number.
    """
    more = [override for override in overrides if not override.startswith(_PLACED)]
    name = "-".join(filter(None, [split, checkpoint.stem if checkpoint else "untrained", digest(more) if more else ""]))
    for number in count(1):
        folder = run / "evaluation" / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        asked = {
            "run": str(run),
            "checkpoint": str(checkpoint) if checkpoint else None,
            "split": split,
            "overrides": list(overrides),
            "date": time.strftime("%Y-%m-%d %H:%M:%S"),
            "versions": versions().splitlines(),
        }
        (folder / _ASKED).write_text(yaml.safe_dump(asked, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return folder
    raise AssertionError("there is always a next number")
