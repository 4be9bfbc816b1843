"""The lines of a printed table: for each row what was published, ours, and the mini world's, and which are best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kairos.report.published.own_cells import OwnRow, mini_values
from kairos.report.published.paper_table import PaperTable

MINI = "mini world"
SCALE = 100  # shares are printed as in the papers


@dataclass(frozen=True)
class Cell:
    """One number of a line."""

    text: str
    rank: int = 0
    """1 for the best of its column, 2 for the second best; 0 for any other."""


@dataclass(frozen=True)
class Line:
    """One line of a table."""

    row: str
    """Empty on the second and third line of a row."""
    kind: str
    """paper, quoted, released, several of these, ours, or the mini world."""
    cells: Sequence[Cell | None]
    """One for each column; None: nobody has this number."""


def table_lines(table: PaperTable, own: Mapping[tuple[str, str], OwnRow], results: Path) -> list[Line]:
    """All lines. Ranks are among what was published and ours; the mini world's numbers are not ranked.

    A row of ours that nobody ran has a line of empty cells.
    """
    columns = table.columns
    values: list[tuple[str, str, list[tuple[float, str] | None]]] = []
    for row in table.rows:
        published = [row.published.get(column.key) for column in columns]
        marks = "/".join(dict.fromkeys(cell.mark for cell in published if cell is not None))
        first = row.name
        if marks:
            values.append((first, marks, [None if cell is None else (cell.value, cell.written) for cell in published]))
            first = ""
        if row.trained is not None:
            ours = [own[row.name, c.group].values.get(c.score) if (row.name, c.group) in own else None for c in columns]
            values.append((first, "ours", [_scaled(value) for value in ours]))
            first = ""
        mini = {group.name: mini_values(row, group, group is table.groups[0], results) for group in table.groups}
        if any(mini.values()):
            values.append((first, MINI, [_scaled(mini[c.group].get(c.score)) for c in columns]))
    ranked = [index for index, (_, kind, _) in enumerate(values) if kind != MINI]
    ranks = [_ranks([values[index][2][place] for index in ranked]) for place in range(len(columns))]
    lines = []
    for index, (name, kind, cells) in enumerate(values):
        shown = [
            None if cell is None else Cell(cell[1], ranks[place][ranked.index(index)] if index in ranked else 0)
            for place, cell in enumerate(cells)
        ]
        lines.append(Line(name, kind, shown))
    return lines


def _scaled(value: float | None) -> tuple[float, str] | None:
    return None if value is None else (SCALE * value, f"{SCALE * value:.1f}")


def _ranks(cells: Sequence[tuple[float, str] | None]) -> list[int]:
    best = sorted({cell[0] for cell in cells if cell is not None}, reverse=True)[:2]
    return [0 if cell is None or cell[0] not in best else best.index(cell[0]) + 1 for cell in cells]
