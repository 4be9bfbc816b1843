"""Follows a file that is being written, truncated or replaced, line by line."""

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
    """A place between two lines of a file."""

    offset: int = 0
    """Bytes before it."""
    lines: int = 0
    """Lines before it."""


BEGINNING = Position()
"""Before the first line."""


def follow(
    path: Path,
    finished: Callable[[], bool],
    wait: Callable[[], None],
    went_back: Callable[[int], None],
    start: Position = BEGINNING,
) -> Iterator[Line]:
    """Complete lines from `start` on while they are written, until `finished`; `wait` is called between polls.

    The file need not exist yet. If it is truncated or replaced, as when a run resumes or starts again, reading goes on
    after the lines that old and new file share, and `went_back` is called with their number.
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
    """A growing file and the position up to which it was read."""

    def __init__(self, path: Path, start: Position) -> None:
        self.path, self.at = path, start
        self._file: BinaryIO | None = None

    def look(self, went_back: Callable[[int], None]) -> None:
        """Open the file if it exists, and again if it was replaced or truncated; compares with what was read."""
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
    """The position after the last complete line that both files share in their first `size` bytes."""
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
