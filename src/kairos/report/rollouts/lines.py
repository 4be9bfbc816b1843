"""Reads the rows of a rollouts.jsonl one by one, so that it may be larger than memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kairos.credit.rows import RowError
from kairos.report.rollouts.tail import BEGINNING, Line, Position

_BEGINNING = re.compile(rb'\s*\{\s*"iteration":\s*(\d{1,18})\s*[,}]')


@dataclass(frozen=True)
class Iterations:
    """The iterations from `low` to `high`, ends included.

    >>> 12 in Iterations(10, 20)
    True
    """

    low: float = float("-inf")
    high: float = float("inf")

    def __contains__(self, iteration: int) -> bool:
        return self.low <= iteration <= self.high


@dataclass(frozen=True)
class Survey:
    """Which iterations a file holds."""

    first: int | None = None
    """None for an empty file."""
    last: int | None = None
    count: int = 0
    """Number of iterations."""
    start_of_last: Position = BEGINNING
    """Where the last iteration begins in the file."""


def survey(path: Path) -> Survey:
    """Survey the complete lines of a file; RowError for a line without an iteration."""
    found, offset, number = Survey(), 0, 0
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and line.strip():
                iteration = _iteration(line, path, number + 1)
                if iteration != found.last:
                    first = iteration if found.first is None else found.first
                    found = Survey(first, iteration, found.count + 1, Position(offset, number))
            offset, number = offset + len(line), number + 1
    return found


def rows(lines: Iterable[Line], path: Path, iterations: Iterations | None = None) -> Iterator[dict[str, object]]:
    """The rows of these iterations (None: all). An incomplete last line, which is still being written, is left out.

    RowError names file and line of an invalid row.
    """
    for number, line in lines:
        stated = _BEGINNING.match(line)
        if not line.strip() or (iterations is not None and stated is not None and int(stated[1]) not in iterations):
            continue
        try:
            row = _row(line, path, number)
        except RowError:
            if line.endswith(b"\n"):
                raise
            return
        if iterations is None or stated is not None or _iteration(line, path, number) in iterations:
            yield row


def read(path: Path, start: Position = BEGINNING) -> Iterator[Line]:
    """The lines that a file has now, from `start` on; the last may lack its newline."""
    with path.open("rb") as file:
        file.seek(start.offset)
        yield from enumerate(file, start.lines + 1)


def iteration_of(line: bytes) -> int | None:
    """The iteration that a line states; None for a line that is no rollout.

    >>> iteration_of(b'{"iteration": 3, "uid": "a"}'), iteration_of(b'{"iter')
    (3, None)
    """
    if (stated := _BEGINNING.match(line)) is not None:
        return int(stated[1])
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    iteration = row.get("iteration") if isinstance(row, dict) else None
    return iteration if isinstance(iteration, int) else None


def _iteration(line: bytes, path: Path, number: int) -> int:
    if (stated := _BEGINNING.match(line)) is not None:
        return int(stated[1])
    iteration = _row(line, path, number).get("iteration")
    if not isinstance(iteration, int):
        raise RowError(f"{path}, line {number}: a rollout has the iteration that it is of, got {iteration!r}")
    return iteration


def _row(line: bytes, path: Path, number: int) -> dict[str, object]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RowError(f"{path}, line {number}: not JSON in UTF-8: {error}") from error
    if not isinstance(row, dict):
        raise RowError(f"{path}, line {number}: a row is a JSON object, got {line[:60].decode(errors='replace')!r}")
    return row
