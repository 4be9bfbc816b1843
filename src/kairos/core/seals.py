"""Seals files of state with their length and CRC-32, so that a reader notices changed and missing bytes.

The seal of `<name>` is the file `.<name>.seal` beside it: a JSON list with one entry, or with more after a writer was
killed between sealing the new content and replacing the old. A file without a seal (written by an older version, or
copied without it) is read as it is. A CRC finds damage, not forgery.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from kairos.core.files import remove_folder, replacing, replacing_folder, write_whole

_BLOCK = 2**22  # bytes


class BrokenFile(ValueError):
    """A file is damaged, or is not of the expected kind."""


@dataclass(frozen=True)
class Seal:
    """Length and checksum of a file's content."""

    size: int = 0
    """Bytes."""
    crc32: int = 0

    def then(self, content: bytes | memoryview) -> Seal:
        """The seal of this content followed by more."""
        return Seal(self.size + len(content), zlib.crc32(content, self.crc32))

    def __str__(self) -> str:
        return f"{self.size} bytes with CRC-32 {self.crc32:08x}"


class Sealing:
    """A file for writing that computes the seal of what passes through it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.seal = file, Seal()

    def write(self, content: bytes | memoryview) -> int:
        self.seal = self.seal.then(content)
        return self._file.write(content)

    def flush(self) -> None:
        self._file.flush()


def seal_path(path: Path) -> Path:
    """Where the seal of a file lies."""
    return path.with_name(f".{path.name}.seal")


def seal_of(path: Path, size: int | None = None) -> Seal:
    """The seal of what a file holds, or of its first `size` bytes."""
    seal, left = Seal(), float("inf") if size is None else size
    with path.open("rb", buffering=0) as file:
        while block := file.read(int(min(_BLOCK, left))):
            seal, left = seal.then(block), left - len(block)
    return seal


@contextmanager
def replacing_state_folder(path: Path) -> Iterator[Path]:
    """As `replacing_folder`, and each of its files is sealed."""
    with replacing_folder(path) as unfinished:
        yield unfinished
        for file in [file for file in unfinished.rglob("*") if file.is_file()]:
            _write(file, [seal_of(file)])


@contextmanager
def replacing_state(path: Path) -> Iterator[Sealing]:
    """As `replacing`, and the file is sealed with all that is written to it in order."""
    with replacing(path) as file:
        sealing = Sealing(file)
        yield sealing
        earlier = _earlier(path)
        _write(path, [sealing.seal, *earlier])  # until the file has its name, either content is right
    if earlier:
        _write(path, [sealing.seal])


def check(path: Path) -> bool:
    """Whether the file has a seal. BrokenFile, with the remedy, if the content does not fit it."""
    seals = _read(path)
    if seals and (found := seal_of(path)) not in seals:
        raise BrokenFile(
            f"{path} is not what was written: it holds {found}, and was written as {seals[0]}. Restore it from a copy, "
            f"or remove {seal_path(path)} to use it as it is"
        )
    return bool(seals)


def check_folder(folder: Path, but: str = "") -> None:
    """BrokenFile for the first sealed file in a folder that does not fit its seal, or is missing.

    Files whose names match the pattern `but` are not read.
    """
    for seal in sorted(folder.rglob(".*.seal")):
        path = seal.with_name(seal.name.removeprefix(".").removesuffix(".seal"))
        if not path.exists():
            raise BrokenFile(f"{path} is missing: restore it from a copy, or remove {seal}")
        if not but or not path.match(but):
            check(path)


def write_state(path: Path, content: str) -> Path:
    """Write a text file of state atomically, with its seal."""
    with replacing_state(path) as file:
        file.write(content.encode())
    return path


def read_state(path: Path) -> str:
    """The text of a file of state, as `write_state` wrote it. FileNotFoundError, BrokenFile."""
    check(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise BrokenFile(f"{path}, line {line}: not UTF-8 ({error}): restore the file from a copy") from error


def remove(path: Path) -> None:
    """Remove a file and its seal, or a folder."""
    if path.is_dir():
        remove_folder(path)
    else:
        path.unlink(missing_ok=True)
    seal_path(path).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells whether a file was changed, replaced or copied."""

    device: int
    inode: int
    size: int
    """Bytes."""
    modified: int
    """When the content was written last (mtime, in ns)."""
    changed: int
    """When anything about the file was changed last (ctime, in ns): no program can set it."""


def identity(path: str | Path) -> Identity:
    """A file's identity now. `cp -p`, `tar` and `rsync` keep `modified`, but not `changed`. FileNotFoundError."""
    status = os.stat(path)  # noqa: PTH116 - this is a hot path
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _write(path: Path, seals: Sequence[Seal]) -> None:
    write_whole(seal_path(path), json.dumps([asdict(seal) for seal in seals]) + "\n")


def _earlier(path: Path) -> list[Seal]:
    """The seals of the file that is about to be replaced."""
    try:
        return (_read(path) or [seal_of(path)]) if path.exists() else []
    except BrokenFile:  # it is replaced, too
        return []


def _read(path: Path) -> list[Seal]:
    """The seals of a file; empty without one."""
    file = seal_path(path)
    try:
        return [Seal(int(row["size"]), int(row["crc32"])) for row in json.loads(file.read_bytes())]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenFile(f"{file} is no seal ({error!r}): remove it to read {path} without a check") from error
