"""Reads the definition of a result table: its rows, its scores, and the published numbers to compare with.

A file of `conf/table/`:

    title: ...
    baseline: <row>                       # differences are from it
    rows: {<row>: <experiment>}           # or {<row>: {experiment: <experiment>, overrides: [<override>, ...]}}, and
                                          # arm: <arm> there, where a run compares ways of choosing frames
    scores: {<task>: [<score>]}           # tasks and scores as in the standings, grounding (ood): [miou]
    over_time: [<metric>]                 # shown over the iterations too; optional
    before: [<script>, <override>, ...]   # a command that must have run before the rows can; optional
    published: {<name>: {where: ..., source: ..., score: <score>, says: {<task>: {<row>: <number>}}}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path

import yaml

Cell = tuple[str, str]
"""A row and a task of a table."""


@dataclass(frozen=True)
class Published:
    """Numbers of a paper's table; only their order is compared with ours."""

    name: str
    where: str
    source: str
    score: str
    says: Mapping[Cell, float]


@dataclass(frozen=True)
class TableRow:
    """The configuration of one row: an experiment, and overrides on top of it.

    >>> print(TableRow("mini/grpo", ("data.clips=50",)))
    mini/grpo data.clips=50
    """

    experiment: str
    overrides: tuple[str, ...] = ()
    arm: str | None = None
    """Whose answers count, where the runs compare ways of choosing frames (`FrameArms`): those of this arm."""

    @property
    def trained(self) -> TableRow:
        """What is trained for this row: rows that differ in their arm alone are read from the same runs."""
        return replace(self, arm=None)

    def __str__(self) -> str:
        return " ".join([self.experiment, *self.overrides])


@dataclass(frozen=True)
class TableDefinition:
    """One table."""

    name: str
    title: str
    baseline: str
    """The row that differences are from."""
    rows: Mapping[str, TableRow]
    """What is trained, by the names that readers see."""
    scores: Mapping[str, tuple[str, ...]]
    """Scores to show, by task."""
    over_time: tuple[str, ...] = ()
    """Metrics to show over the iterations."""
    before: tuple[str, ...] = ()
    """A command to run before the rows."""
    published: tuple[Published, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)
    """Comments at the head of the rows' experiment files, by row."""

    def __post_init__(self) -> None:
        if self.baseline not in self.rows:
            raise ValueError(f"{self.name}: baseline={self.baseline} is no row; there are {', '.join(self.rows)}")
        for claim in self.published:
            for row, task in claim.says:
                if row not in self.rows or claim.score not in self.scores.get(task, ()):
                    raise ValueError(f"{self.name}: published.{claim.name} speaks of {row}, {task}, {claim.score}: "
                                     "the table does not show that")  # fmt: skip


def read_definition(path: Path) -> TableDefinition:
    """Read the definition of a table; ValueError if it contradicts itself."""
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    rows = {str(name): _row(path.stem, str(name), says) for name, says in tree["rows"].items()}
    return TableDefinition(
        name=path.stem,
        title=tree["title"],
        baseline=str(tree["baseline"]),
        rows=rows,
        about={name: _about(row.experiment, path) for name, row in rows.items()},
        scores={task: tuple(names) for task, names in tree["scores"].items()},
        over_time=tuple(tree.get("over_time", ())),
        before=tuple(tree.get("before", ())),
        published=tuple(
            Published(
                name, claim["where"], claim["source"], claim["score"],
                {(row, task): float(n) for task, rows in claim["says"].items() for row, n in rows.items()},
            )
            for name, claim in tree.get("published", {}).items()
        ),
    )  # fmt: skip


def _row(table: str, name: str, says: object) -> TableRow:
    match says:
        case str() as experiment:
            return TableRow(experiment)
        case {"experiment": str() as experiment, **others} if set(others) <= {"overrides", "arm"}:
            overrides, arm = others.get("overrides", []), others.get("arm")
            fits = isinstance(overrides, list) and all(isinstance(o, str) and "=" in o for o in overrides)
            if fits and (arm is None or isinstance(arm, str)):
                return TableRow(experiment, tuple(overrides), arm)
    raise ValueError(
        f"{table}: rows.{name} must be an experiment, or {{experiment: ..., overrides: [key=value, ...], "
        f"arm: ...}}, got {says!r}"
    )


def _about(experiment: str, path: Path) -> str:
    """The comment at the head of an experiment's file; empty if the file is not found near the table's."""
    found = next((p / "experiment" for p in path.resolve().parents if (p / "experiment").is_dir()), path)
    file = found / f"{experiment}.yaml"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    comments = takewhile(lambda line: line.startswith("#"), lines)
    return " ".join(line.lstrip("# ") for line in comments if "@package" not in line)
