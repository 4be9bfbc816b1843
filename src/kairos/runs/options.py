"""Finds which option of a config group a run was composed from: method, data, and so on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

import kairos
from kairos.runs.keys import key_of

CONF = Path(kairos.__file__).parent / "conf"
"""The yaml files of all options."""


def option(group: str, overrides: Sequence[str]) -> str:
    """The option of a top-level group under these overrides: theirs, their experiment's, or the default of today.

    Empty where the experiment is the user's own, or no option says it.

    >>> option("method", ["method=time_r1"]), option("data", ["experiment=timezero_charades_7b"]), option("policy", [])
    ('time_r1', 'charades', 'mini')
    """
    experiment = _last("experiment", overrides)
    found = _last(group, overrides) or (_of_experiment(group, experiment) if experiment else "")
    if found or (experiment and not _file(experiment).is_file()):
        return found
    return next((str(line[group]) for line in _defaults(CONF / "train.yaml") if group in line), "")


def _last(group: str, overrides: Sequence[str]) -> str:
    return next((o.partition("=")[2].strip("'\"") for o in reversed(overrides) if key_of(o) == group), "")


def _of_experiment(group: str, name: str) -> str:
    """What an experiment, or the nearest one that it builds on, overrides the group with."""
    found = ""
    for line in _defaults(_file(name)) if _file(name).is_file() else ():
        for key, value in line.items():
            if key in (f"override /{group}", f"override {group}"):
                found = str(value)
            elif value is None and key != "_self_":
                base = key.removeprefix("/experiment/") if key.startswith("/") else str(Path(name).parent / key)
                found = _of_experiment(group, base) or found
    return found


def _file(experiment: str) -> Path:
    return CONF / "experiment" / f"{experiment}.yaml"


def _defaults(file: Path) -> list[Mapping[str, object]]:
    """The entries of a defaults list as mappings; a bare name maps to None."""
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    listed = tree.get("defaults", []) if isinstance(tree, Mapping) else []
    return [line if isinstance(line, Mapping) else {str(line): None} for line in listed]
