"""The rollouts of a run as rows: those in its folder, or new ones while they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from kairos.report.rollouts.lines import Iterations, Survey, read, rows, survey
from kairos.report.rollouts.query import Query, iterations_of
from kairos.report.rollouts.row_fields import Row, fields_of
from kairos.report.rollouts.tail import BEGINNING, follow
from kairos.runs.folder import RunError, RunFolder

LAST = "last"


@dataclass(frozen=True)
class Rollouts:
    """The rollouts of `run`. RunError if there is no run, or it writes no rollouts."""

    run: Path

    def __post_init__(self) -> None:
        if not self.run.is_dir():
            beside = Path("runs") if self.run.parent == Path() else self.run.parent
            there = [str(path.parent) for path in sorted(beside.glob("*/config.yaml"))]
            raise RunError(f"there is no run {self.run}" + (f"; there are {', '.join(there[:20])}" if there else ""))
        if not self.file.exists() and not RunFolder(self.run).begun:
            raise RunError(f"{self.run} is not the folder of a run: it has neither rollouts.jsonl nor config.yaml")

    @property
    def file(self) -> Path:
        return self.run / "rollouts.jsonl"

    def fields(self) -> list[str]:
        """The names of the first row's fields; none while there is no row."""
        if not self.file.exists():
            return []
        return [name for row in islice(rows(read(self.file), self.file), 1) for name in fields_of(row)]

    def rows(self, iteration: str | None, query: Query) -> Iterator[Row]:
        """The rows written so far. `iteration`: a number, a range or "last"; None: all."""
        if not self.file.exists():
            why = "it is finished and wrote none" if RunFolder(self.run).finished else "it has written none yet"
            raise RunError(f"{self.file} is not there: {why} (callbacks.log.rollouts_every=0 writes none at all)")
        iterations, start = None, BEGINNING
        if iteration == LAST:
            found = survey(self.file)
            start = found.start_of_last
            iterations = None if found.last is None else Iterations(found.last, found.last)
        elif iteration is not None:
            iterations = iterations_of(iteration)
        return query(rows(read(self.file, start), self.file, iterations))

    def live(
        self, iteration: str | None, query: Query, wait: Callable[[], None], went_back: Callable[[int], None]
    ) -> Iterator[Row]:
        """Rows while they are written, until the run is finished; "last" or None starts with the last iteration.

        `wait` is called between polls, `went_back` with the number of lines that a resumed run kept.
        """
        if query.order is not None:
            raise ValueError("follow=true shows rollouts in the order they are written in: leave sort= out")
        iterations = None if iteration in (None, LAST) else iterations_of(iteration)
        start = survey(self.file).start_of_last if iterations is None and self.file.exists() else BEGINNING
        lines = follow(self.file, lambda: RunFolder(self.run).finished, wait, went_back, start)
        return query(rows(lines, self.file, iterations))

    def extent(self) -> str:
        """The iterations in the file, as text."""
        found = survey(self.file) if self.file.exists() else Survey()
        if found.first is None:
            return f"{self.file} has no rows"
        return f"{self.file} holds {found.count} iterations, from {found.first} to {found.last}"
