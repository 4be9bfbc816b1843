"""The definition of a published table: its rows, the scores it shows, and what papers say of them.

A file of `conf/table/`:

    title: ...
    baseline: <row>                       # differences are from it
    rows: {<row>: <experiment>}           # or {<row>: {experiment: <experiment>, overrides: [<override>, ...]}}
    scores: {<task>: [<score>]}           # tasks and scores as in the standings, grounding (ood): [miou]
    over_time: [<metric>]                 # shown over the iterations too; optional
    before: [<script>, <override>, ...]   # a command that must have run before the rows can; optional
    published: {<name>: {where: ..., source: ..., score: <score>, says: {<task>: {<row>: <number>}}}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import yaml

Cell = tuple[str, str]
"""A row and a task of a table."""


@dataclass(frozen=True)
class Published:
    """What a paper's table says: a number for some cells, of which only the order is compared with ours."""

    name: str
    where: str
    source: str
    score: str
    says: Mapping[Cell, float]


@dataclass(frozen=True)
class TableRow:
    """What one row trains: an experiment, and overrides on top of it.

    >>> print(TableRow("mini/grpo", ("data.clips=50",)))
    mini/grpo data.clips=50
    """

    experiment: str
    overrides: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join([self.experiment, *self.overrides])


@dataclass(frozen=True)
class TableDefinition:
    """One table. `rows` are what is trained, by the names that readers see, `scores` the scores shown of each task,
    `about` what the files of the rows' experiments say of themselves."""

    name: str
    title: str
    baseline: str
    rows: Mapping[str, TableRow]
    scores: Mapping[str, tuple[str, ...]]
    over_time: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.baseline not in self.rows:
            raise ValueError(f"{self.name}: baseline={self.baseline} is no row; there are {', '.join(self.rows)}")
        for claim in self.published:
            for row, task in claim.says:
                if row not in self.rows or claim.score not in self.scores.get(task, ()):
                    raise ValueError(f"{self.name}: published.{claim.name} speaks of {row}, {task}, {claim.score}: "
                                     "the table does not show that")  # fmt: skip


def read_definition(path: Path) -> TableDefinition:
    """The table of a file; ValueError where it contradicts itself."""
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
        case {"experiment": str() as experiment, **others} if set(others) <= {"overrides"}:
            overrides = others.get("overrides", [])
            if isinstance(overrides, list) and all(isinstance(o, str) and "=" in o for o in overrides):
                return TableRow(experiment, tuple(overrides))
    raise ValueError(
        f"{table}: rows.{name} must be an experiment, or {{experiment: ..., overrides: [key=value, ...]}}, got {says!r}"
    )


def _about(experiment: str, path: Path) -> str:
    """The comment at the head of an experiment's file, in the folder `experiment` above the table's; else nothing."""
    found = next((p / "experiment" for p in path.resolve().parents if (p / "experiment").is_dir()), path)
    file = found / f"{experiment}.yaml"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    comments = takewhile(lambda line: line.startswith("#"), lines)
    return " ".join(line.lstrip("# ") for line in comments if "@package" not in line)
