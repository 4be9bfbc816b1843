"""Our numbers beside published ones: of runs that were trained and evaluated, and of the mini world's results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import cast

from kairos.core.files import write_whole
from kairos.evaluation.manifest import NoManifest, read_scores
from kairos.report.published.definition import TableRow
from kairos.report.published.paper_table import ColumnGroup, PaperRow, PaperTable
from kairos.runs.folder import RunFolder


@dataclass(frozen=True)
class OwnRow:
    """What our runs of one row say on one group of columns."""

    values: Mapping[str, float]
    """Mean over seeds, by score."""
    n: int
    """Questions of each run."""
    seeds: Sequence[int]
    commit: str | None
    command: str
    """What trained the runs."""
    manifest: str
    """Of the first run's evaluation, in one line."""

    def __post_init__(self) -> None:
        if not self.manifest:
            raise NoManifest(f"scores of {self.command} without a manifest are not printed: evaluate again")


def own_rows(table: PaperTable, runs: Path) -> dict[tuple[str, str], OwnRow]:
    """What the finished runs below `runs` say, by row and group; nothing where nobody trained or evaluated."""
    folders = [path.parent for path in sorted(runs.glob("*/summary.json"))]
    wanted = [row.trained for row in table.rows if row.trained is not None]
    found: dict[tuple[str, str], OwnRow] = {}
    for row in table.rows:
        mine = [folder for folder in folders if row.trained is not None and _row_of(folder, wanted) == row.trained]
        for group in table.groups:
            if (own := _evaluated(mine, group, row)) is not None:
                found[row.name, group.name] = own
    return found


def write_own(path: Path, found: Mapping[tuple[str, str], OwnRow]) -> None:
    """Write our rows as a result that can be committed."""
    rows = [{"row": row, "group": group, **asdict(own)} for (row, group), own in found.items()]
    write_whole(path, json.dumps(rows, indent=1) + "\n")


def read_own(path: Path) -> dict[tuple[str, str], OwnRow]:
    """Our rows of a committed result; empty where there is none. NoManifest for a score without its manifest."""
    if not path.is_file():
        return {}
    found: dict[tuple[str, str], OwnRow] = {}
    for row in json.loads(path.read_text(encoding="utf-8")):
        facts = {name: row.get(name) for name in OwnRow.__dataclass_fields__}
        if not facts["manifest"]:
            raise NoManifest(f"{path}: {row.get('row')} on {row.get('group')} has no manifest: evaluate again")
        found[row["row"], row["group"]] = OwnRow(**facts)
    return found


def mini_values(row: PaperRow, group: ColumnGroup, first: bool, results: Path) -> Mapping[str, float]:
    """Scores of the mini world's run beside a row, by score; empty where none belongs to it.

    A task that the row names itself stands beside the first group only.
    """
    for mini in row.mini:
        task = (mini.task if first else None) if mini.task else group.mini.get(mini.result)
        if task is not None:
            return dict(_mini_scores(results / f"{mini.result}.json", mini.row, task))
    return {}


def _mini_scores(path: Path, row: str, task: str) -> Iterator[tuple[str, float]]:
    whole = json.loads(path.read_text(encoding="utf-8"))
    for cell in whole["rows"]:
        if cell["row"] == row and cell["task"] == task:
            yield cell["score"], float(cell["mean"])


def _row_of(folder: Path, wanted: Sequence[TableRow]) -> TableRow | None:
    """The row that a run was trained for: of those whose experiment and overrides it has, the one with the most."""
    overrides = set(RunFolder(folder).overrides())
    fits = [row for row in wanted if {f"experiment={row.experiment}", *row.overrides} <= overrides]
    return max(fits, key=lambda row: len(row.overrides), default=None)


def _evaluated(folders: Sequence[Path], group: ColumnGroup, row: PaperRow) -> OwnRow | None:
    values: dict[str, list[float]] = {}
    seeds, manifests = list[int](), list[tuple[int, str, object]]()
    for folder in folders:
        path = folder / "evaluation" / group.evaluation / "scores.json"
        if not path.is_file():
            continue
        for found in read_scores(path):
            if group.wording in (None, found.label):
                seeds.append(int(str(RunFolder(folder).config().get("seed", 0))))
                manifests.append((found.manifest.n, found.manifest.line(), found.manifest.conditions.get("commit")))
                for score in group.scores:
                    value = found.scores.get(score)
                    if isinstance(value, int | float):
                        values.setdefault(score, []).append(float(value))
                break
    if not values or row.trained is None:
        return None
    n, line, commit = manifests[0]
    command = f"python scripts/train.py experiment={row.trained}"
    means = {score: fmean(each) for score, each in values.items()}
    return OwnRow(means, n, sorted(seeds), cast("str | None", commit), command, line)
