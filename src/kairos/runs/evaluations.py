"""Gives each evaluation a folder of its own, in its run's where it has one, and says there what was evaluated."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import cast

import yaml

from kairos.runs.names import digest
from kairos.runs.versions import versions

SCORES = "scores.json"
"""In the folder of an evaluation that has ended."""
_ASKED = "evaluated.yaml"
_PLACED = ("run=", "split=", "shard=")
"""Said by the folder's place and name; every shard of an evaluation has the same."""


def evaluation_folder(parent: Path, of: str, split: str, overrides: Sequence[str]) -> Path:
    """`<parent>/evaluation/<split>-<of>` with its evaluated.yaml: a new one, or that of an unfinished evaluation of
    the same, which goes on there.

    `of` names what was evaluated, such as a checkpoint. Overrides beyond run, split and shard add a hash to the name,
    and a repeated evaluation a number.
    """
    more = [override for override in overrides if not override.startswith(_PLACED)]
    name = "-".join(filter(None, [split, of, digest(more) if more else ""]))
    asked: dict[str, object] = {
        "run": str(parent),
        "checkpoint": of,
        "split": split,
        "overrides": [override for override in overrides if not override.startswith("shard=")],
    }
    for number in count(1):
        folder = parent / "evaluation" / (name if number == 1 else f"{name}-{number}")
        if _made(folder, asked) or _unfinished(folder, asked):
            return folder
    raise AssertionError("there is always a next number")


def _made(folder: Path, asked: dict[str, object]) -> bool:
    """Make the folder with its file at once; False if it is there."""
    made = folder.with_name(f".{folder.name}.{os.getpid()}")
    made.mkdir(parents=True)
    try:
        facts = {**asked, "date": time.strftime("%Y-%m-%d %H:%M:%S"), "versions": versions().splitlines()}
        (made / _ASKED).write_text(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True), encoding="utf-8")
        made.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        return False
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return True


def _unfinished(folder: Path, asked: dict[str, object]) -> bool:
    """Whether the folder holds an evaluation of the same that has not ended."""
    file = folder / _ASKED
    if (folder / SCORES).exists() or not file.is_file():
        return False
    facts = cast("dict[str, object]", yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    return all(facts.get(name) == value for name, value in asked.items())
