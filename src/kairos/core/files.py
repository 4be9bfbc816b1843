"""Writes files atomically and durably: readers see the old content or the new, also after a crash or a power cut."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

UNFINISHED = ".unfinished"
"""Suffix of a file that is being written; its name is `.<final name>.<process id>.unfinished`."""


class NotWritten(OSError):
    """A file could not be written; what lay under its name is as it was."""

    def __init__(self, path: Path, reason: OSError) -> None:
        super().__init__(
            f"{path} cannot be written ({reason.strerror or reason}): free space, or see to it that the folder may be "
            "written to, then give the same command again"
        )


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Inside this context a failing write, whose OSError names no file, becomes a `NotWritten` that names `path`."""
    try:
        yield
    except (NotWritten, FileNotFoundError):
        raise
    except OSError as error:
        raise NotWritten(path, error) from error


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write `content` to `path` atomically; a missing folder is created."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


def json_line(row: object) -> bytes:
    r"""A line of JSONL: readable UTF-8, with escapes where a text holds half a character, as odd file names do.

    >>> json_line({"reason": "\u00e4"}) == b'{"reason": "\xc3\xa4"}\n', json_line({"reason": "\ud83d"})
    (True, b'{"reason": "\\ud83d"}\n')
    """
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(row).encode() + b"\n"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file beside `path`, which takes its place when the context ends; after an error it is removed instead.

    The file is synced before it is renamed, and the folder after it, so that no crash leaves a part under the name.
    NotWritten, also where the context itself cannot write.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as file:
                yield file
                sync(file)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, which takes its place when the context ends; after an error it is removed instead.

    NotWritten, also where the context itself cannot write.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    shutil.rmtree(unfinished, ignore_errors=True)
    with naming(path):
        unfinished.mkdir(parents=True)
        try:
            yield unfinished
            for file in (file for file in unfinished.rglob("*") if file.is_file()):
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
            put_folder(unfinished, path)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise


def put_folder(unfinished: Path, path: Path) -> None:
    """Give a folder whose files are synced its name, and remove what lay there.

    Both are exchanged at once where the system can; elsewhere a crash between two renames leaves the old content aside.
    """
    sync_folder(unfinished)
    if not path.exists():
        unfinished.replace(path)
    elif _exchange(unfinished, path):
        _remove(unfinished)
    else:
        aside = _aside(path)
        path.replace(aside)
        unfinished.replace(path)
        _remove(aside)
    sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder that readers see whole or not at all; nothing where there is none."""
    if path.is_dir():
        aside = _aside(path)
        path.replace(aside)
        _remove(aside)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names at once (Linux: renameat2); False where that cannot be done."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    here = -100  # AT_FDCWD: the paths are as they stand
    return rename is not None and rename(here, os.fsencode(one), here, os.fsencode(other), 2) == 0


def _aside(path: Path) -> Path:
    """A name of an unfinished file, so that what a killed process left there is swept."""
    aside = path.with_name(f".{path.name}.replaced.{os.getpid()}{UNFINISHED}")
    _remove(aside)
    return aside


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(file: BinaryIO) -> None:
    """Flush an open file to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder's names to the disk, so that a renamed file keeps its new name after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems without names to flush
            raise
    finally:
        os.close(descriptor)
