"""The sweeps that train the rows of a table: rows with the same overrides are one sweep over their experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from kairos.report.published.definition import TableRow, read_definition
from kairos.report.published.paper_table import is_paper_table, read_paper_table

MINI_SEEDS = "seed=0,1,2"


def together(rows: Sequence[TableRow]) -> Mapping[tuple[str, ...], list[str]]:
    """The experiments of some rows by their overrides, in the order of the rows.

    >>> together([TableRow("a"), TableRow("b", ("x=1",)), TableRow("c")])
    {(): ['a', 'c'], ('x=1',): ['b']}
    """
    found: dict[tuple[str, ...], list[str]] = {}
    for row in dict.fromkeys(row.trained for row in rows):
        found.setdefault(row.overrides, []).append(row.experiment)
    return found


def table_file(name: str, conf: Path) -> Path:
    """The file of a table of `conf/table`; ValueError for an unknown one, with those that there are."""
    folder = conf / "table"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.yaml"))
        raise ValueError(f"table={name}: there is no such table; there are {', '.join(known)}")
    return path


def sweeps_of(path: Path, typed: Sequence[str]) -> list[list[str]]:
    """What trains the rows of a table: the arguments of `kairos train -m`, one list for each sweep.

    `typed` are more overrides, which count before those of the rows. A table whose rows nobody can train here gives
    none. The jobs of a table of the mini world lie in runs/mini, so that tables share rows; others in runs/<table>.
    """
    if is_paper_table(yaml.safe_load(path.read_text(encoding="utf-8"))):
        rows = [row.trained for row in read_paper_table(path).rows if row.trained is not None]
        usual = [f"hydra.sweep.dir=runs/{path.stem}"]
    else:
        rows = list(read_definition(path).rows.values())
        usual = [MINI_SEEDS, "hydra.sweep.dir=runs/mini"]
    said = {word.partition("=")[0] for word in typed}
    defaults = [word for word in usual if word.partition("=")[0] not in said]
    return [
        [f"experiment={','.join(experiments)}", *overrides, *typed, *defaults]
        for overrides, experiments in together(rows).items()
    ]
