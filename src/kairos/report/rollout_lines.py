"""The rows of a rollouts.jsonl one after the other, however large it is, or as a live run writes them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kairos.credit.rows import RowError

Line = tuple[int, bytes]  # its number, from 1, and its bytes with their newline
_BEGINNING = re.compile(rb'\s*\{\s*"iteration":\s*(\d{1,18})\s*[,}]')
_BLOCK = 2**20  # bytes


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
class Position:
    """Between two lines: behind so many bytes, which are so many lines."""

    offset: int = 0
    lines: int = 0


@dataclass(frozen=True)
class Survey:
    """Which iterations a file holds, how many, and where the last of them begins; `first` is None for no row."""

    first: int | None = None
    last: int | None = None
    count: int = 0
    start_of_last: Position = Position()


def survey(path: Path) -> Survey:
    """One pass over the complete lines of a file; RowError for a line without an iteration."""
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
    """The rows of these iterations (None: of all). A last line without its newline is still being written: left out.

    RowError names file and line of what is no row.
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


def read(path: Path, start: Position | None = None) -> Iterator[Line]:
    """The lines that a file has now, from `start` on; the last may lack its newline."""
    start = start or Position()
    with path.open("rb") as file:
        file.seek(start.offset)
        yield from enumerate(file, start.lines + 1)


def follow(
    path: Path,
    finished: Callable[[], bool],
    wait: Callable[[], None],
    went_back: Callable[[int], None],
    start: Position | None = None,
) -> Iterator[Line]:
    """Complete lines from `start` on as they are written, until `finished`; `wait` is called between two looks.

    The file need not be there yet. Where a shorter or another file takes its place, as when a run resumes or starts
    anew, reading goes on behind the lines that both have, and `went_back` is told how many these are.
    """
    tail = _Tail(path, start or Position())
    try:
        while True:
            last = finished()  # asked first: what was written before the end is read after it
            tail.look(went_back)
            yield from tail.new()
            if last:
                return
            wait()
    finally:
        tail.close()


class _Tail:
    """A file that grows, and how far it was read."""

    def __init__(self, path: Path, start: Position) -> None:
        self.path, self.at = path, start
        self._file: BinaryIO | None = None

    def look(self, went_back: Callable[[int], None]) -> None:
        """Open the file when it is there, and again when it was replaced or cut: what was read is kept to compare."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        old, self._file = self._file, file
        if old is None:
            return
        now, before = os.fstat(file.fileno()), os.fstat(old.fileno())
        if not os.path.samestat(now, before) or now.st_size < self.at.offset:
            shared = _shared(old, file, min(self.at.offset, now.st_size))
            if shared != self.at:
                went_back(shared.lines)
            self.at = shared
        old.close()

    def new(self) -> Iterator[Line]:
        if self._file is None:
            return
        self._file.seek(self.at.offset)
        for line in self._file:
            if not line.endswith(b"\n"):
                return
            self.at = Position(self.at.offset + len(line), self.at.lines + 1)
            yield self.at.lines, line

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _shared(one: BinaryIO, other: BinaryIO, size: int) -> Position:
    """Behind the last line that the first `size` bytes of two files both begin with."""
    one.seek(0)
    other.seek(0)
    offset = lines = position = 0
    while position < size:
        block, beside = (file.read(min(_BLOCK, size - position)) for file in (one, other))
        same = block if block == beside else _prefix(block, beside)
        if b"\n" in same:
            offset, lines = position + same.rindex(b"\n") + 1, lines + same.count(b"\n")
        position += len(same)
        if block != beside or not block:
            break
    return Position(offset, lines)


def _prefix(one: bytes, other: bytes) -> bytes:
    length = min(len(one), len(other))
    return one[: next((i for i in range(length) if one[i] != other[i]), length)]


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
