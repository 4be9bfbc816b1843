"""The lines of a file while it is written, cut back or replaced."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

Line = tuple[int, bytes]  # its number, from 1, and its bytes with their newline
_BLOCK = 2**20  # bytes


@dataclass(frozen=True)
class Position:
    """Between two lines: behind so many bytes, which are so many lines."""

    offset: int = 0
    lines: int = 0


BEGINNING = Position()
"""Before the first line."""


def follow(
    path: Path,
    finished: Callable[[], bool],
    wait: Callable[[], None],
    went_back: Callable[[int], None],
    start: Position = BEGINNING,
) -> Iterator[Line]:
    """Complete lines from `start` on as they are written, until `finished`; `wait` is called between two looks.

    The file need not be there yet. Where a shorter or another file takes its place, as when a run resumes or starts
    anew, reading goes on behind the lines that both have, and `went_back` is told how many these are.
    """
    tail = _Tail(path, start)
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
