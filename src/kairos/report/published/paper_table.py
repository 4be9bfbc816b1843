"""Reads a table of published numbers: every cell with its mark and source, and what of ours belongs beside it.

A file of `conf/table/`:

    title: ...
    sources: {paper: ..., quoted: ..., released: ...}       # where the numbers of each mark are from
    groups:                                                  # of columns
      <group>:
        scores: {<score>: <label>}
        evaluation: <name>          # ours: <run>/evaluation/<name>/scores.json, written by scripts/evaluate.py
        wording: <label>            # which of its wordings; optional
        mini: {<result>: <task>}    # which task of results/mini/<result>.json stands beside it; optional
    rows:
      <row>: {<mark>: "<cells>", experiment: ..., overrides: [...], mini: ["<result>: <row>[: <task>]"]}

Cells stand in the order of the columns, "-" for none, "|" between groups. Marks: paper (the authors measured it),
quoted (they took it from others), released (of the released repository).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import yaml

from kairos.report.published.definition import TableRow

MARKS = ("paper", "quoted", "released")


@dataclass(frozen=True)
class Column:
    """One score on one benchmark."""

    group: str
    score: str
    label: str

    @property
    def key(self) -> str:
        return f"{self.group}/{self.score}"


@dataclass(frozen=True)
class ColumnGroup:
    """The columns of one benchmark."""

    name: str
    scores: Mapping[str, str]
    """Label by score, in the order of the columns."""
    evaluation: str
    """The name of the evaluation of ours, in a run's folder."""
    wording: str | None = None
    mini: Mapping[str, str] = field(default_factory=dict)
    """Task by result of the mini world."""


@dataclass(frozen=True)
class PublishedCell:
    """A number as it was published."""

    value: float
    written: str
    """With the digits of its source."""
    mark: str
    """One of `MARKS`."""


@dataclass(frozen=True)
class MiniRow:
    """A row of a committed result of the mini world."""

    result: str
    row: str
    task: str | None = None
    """None: as the group of columns says."""


@dataclass(frozen=True)
class PaperRow:
    """One row: what was published, and which run of ours stands beside it."""

    name: str
    published: Mapping[str, PublishedCell]
    """By the column's key; columns without a number are left out."""
    trained: TableRow | None = None
    mini: Sequence[MiniRow] = ()


@dataclass(frozen=True)
class PaperTable:
    """One table of one paper."""

    name: str
    title: str
    sources: Mapping[str, str]
    groups: Sequence[ColumnGroup]
    rows: Sequence[PaperRow]

    @property
    def columns(self) -> list[Column]:
        return [Column(group.name, score, label) for group in self.groups for score, label in group.scores.items()]


def is_paper_table(tree: object) -> bool:
    """Whether a file of conf/table holds published numbers, rather than the definition of one of our own tables."""
    return isinstance(tree, dict) and "groups" in tree


def read_paper_table(path: Path) -> PaperTable:
    """Read the file of a table; ValueError, with the row, if its cells do not fit its columns."""
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    groups = [
        ColumnGroup(
            name=str(name),
            scores={str(score): str(label) for score, label in says["scores"].items()},
            evaluation=str(says["evaluation"]),
            wording=says.get("wording"),
            mini={str(result): str(task) for result, task in says.get("mini", {}).items()},
        )
        for name, says in tree["groups"].items()
    ]
    sources = {str(mark): str(source) for mark, source in tree["sources"].items()}
    table = PaperTable(path.stem, str(tree["title"]), sources, groups, ())
    rows = [_row(f"{path.name}, {name}", str(name), says, table) for name, says in tree["rows"].items()]
    return PaperTable(path.stem, table.title, sources, groups, rows)


def _row(where: str, name: str, says: Mapping[str, object], table: PaperTable) -> PaperRow:
    unknown = set(says) - {*MARKS, "experiment", "overrides", "mini"}
    if unknown:
        raise ValueError(f"{where}: unknown {', '.join(sorted(unknown))}; a row has {', '.join(MARKS)}, experiment, "
                         "overrides and mini")  # fmt: skip
    published: dict[str, PublishedCell] = {}
    for mark in MARKS:
        if mark in says and mark not in table.sources:
            raise ValueError(f"{where}: sources says nothing of {mark}")
        for key, cell in _cells(where, str(says.get(mark, "")), mark, table).items():
            if key in published:
                raise ValueError(f"{where}: two numbers for {key}: {published[key].written} and {cell.written}")
            published[key] = cell
    experiment = says.get("experiment")
    overrides = cast("Sequence[str]", says.get("overrides", ()))
    trained = None if experiment is None else TableRow(str(experiment), tuple(map(str, overrides)))
    return PaperRow(name, published, trained, [_mini(where, text) for text in cast("list[str]", says.get("mini", []))])


def _cells(where: str, text: str, mark: str, table: PaperTable) -> dict[str, PublishedCell]:
    if not text:
        return {}
    parts = [part.split() for part in text.split("|")]
    wanted = [len(group.scores) for group in table.groups]
    if [len(part) for part in parts] != wanted:
        raise ValueError(f"{where}: {mark} has {[len(part) for part in parts]} cells, the columns are {wanted}")
    written = [cell for part in parts for cell in part]
    pairs = zip(table.columns, written, strict=True)
    return {column.key: PublishedCell(float(cell), cell, mark) for column, cell in pairs if cell != "-"}


def _mini(where: str, text: str) -> MiniRow:
    parts = [part.strip() for part in text.split(": ")]
    if len(parts) not in (2, 3):
        raise ValueError(f"{where}: mini must be '<result>: <row>' or '<result>: <row>: <task>', got {text!r}")
    return MiniRow(*parts)
