"""Files of JSON rows, one a line, that grow while a run lasts: metrics.jsonl, rollouts.jsonl, failures.jsonl.

Each checkpoint holds the seal of what they held when it was written, so that a resumed run goes on from exactly that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from kairos.core.files import json_line, naming, sync
from kairos.core.seals import BrokenFile, Seal, seal_of

_WAYS = (
    "Restore the file from a copy; or go on with what is there (callbacks.log.check=false); or start another run from "
    "the checkpoint's weights (policy.weights=<checkpoint> name=...)"
)


class RowFile:
    """One file that one process appends to."""

    def __init__(self, path: Path) -> None:
        self.path, self.seal = path, Seal()
        """Of all that the file holds."""

    def append(self, rows: Iterable[dict[str, object]]) -> None:
        """Write rows at the end. NotWritten, with the file's name, when the disk is full."""
        content = b"".join(map(json_line, rows))
        if not content:
            return
        with naming(self.path), self.path.open("ab") as file:
            file.write(content)
        self.seal = self.seal.then(content)

    def sync(self) -> None:
        """Flush what was appended to the disk."""
        if self.path.exists():
            with self.path.open("rb") as file:
                os.fsync(file.fileno())

    def cut_back(self, iteration: int, sealed: Seal | None, wanted: Iterable[int] = (), check: bool = True) -> None:
        """Keep the rows up to `iteration`: later ones will be written again.

        `sealed`: what the file held when the checkpoint of `iteration` was written; the file must begin with that. None
        for a checkpoint of an older version: then every iteration of `wanted` must have a row. BrokenFile otherwise,
        with what is wrong and what to do; with `check` false, whatever can be read is kept.
        """
        if iteration == 0:
            sealed = Seal()
        if sealed is not None and self._begins_with(sealed, iteration, check):
            if self.path.exists():
                os.truncate(self.path, sealed.size)
            self.seal = sealed
            return
        kept, seen = self.path.with_name(f".{self.path.name}.{os.getpid()}.unfinished"), set[int]()
        if not self.path.exists():
            _require(wanted, seen, self.path, check)
            return
        with kept.open("wb") as file:
            for line, row in self._readable(check):
                if row["iteration"] <= iteration:
                    seen.add(row["iteration"])
                    file.write(line)
            sync(file)
        try:
            _require(wanted, seen, self.path, check)
        except BrokenFile:
            kept.unlink()
            raise
        kept.replace(self.path)
        self.seal = seal_of(self.path)

    def _begins_with(self, sealed: Seal, iteration: int, check: bool) -> bool:
        """Whether the file's beginning is intact; BrokenFile if not and `check`."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if size >= sealed.size and (not sealed.size or seal_of(self.path, sealed.size) == sealed):
            return True
        if not check:
            return False
        if not size:
            wrong = "it is missing or empty"
        elif size < sealed.size:
            wrong = f"it has {size} bytes and had {sealed.size}"
        else:
            wrong = _odd_line(self.path) or "some of its content was changed"
        raise BrokenFile(
            f"{self.path} is not what it was when the checkpoint of iteration {iteration} was written: {wrong}. {_WAYS}"
        )

    def _readable(self, check: bool) -> Iterator[tuple[bytes, dict[str, int]]]:
        """The complete rows; a line that is none is an error, or left out if not `check`."""
        for number, line in _lines(self.path):
            try:
                yield line, row_of(line, self.path, number)
            except BrokenFile as error:
                if check:
                    raise BrokenFile(f"{error}. {_WAYS}") from error


def rows_of(path: Path) -> Iterator[dict[str, int]]:
    """The complete rows of a file, each with its iteration. BrokenFile names the file and the line."""
    for number, line in _lines(path):
        yield row_of(line, path, number)


def row_of(line: bytes, path: Path, number: int) -> dict[str, int]:
    """The row in a line of a file. BrokenFile, with file and line, if it is not a JSON object with an iteration."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BrokenFile(f"{path}, line {number} is not JSON in UTF-8 ({error})") from error
    if not isinstance(row, dict) or type(row.get("iteration")) is not int:
        raise BrokenFile(f"{path}, line {number} is no row: it must be a JSON object with a whole number `iteration`")
    return row


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Complete lines with their numbers: a killed run may have left a part of one at the end."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n"):
                yield number, line


def _odd_line(path: Path) -> str | None:
    try:
        for _ in rows_of(path):
            pass
    except BrokenFile as error:
        return str(error)
    return None


def _require(wanted: Iterable[int], seen: set[int], path: Path, check: bool) -> None:
    missing = sorted(set(wanted) - seen)
    if missing and check:
        first = ", ".join(map(str, missing[:5]))
        raise BrokenFile(f"{path} lacks rows of {len(missing)} iterations, first {first}. {_WAYS}")
