"""Opens files that somebody else's data name: regular files only, so that every read ends.

A device, a named pipe or a socket is refused before it is opened: opening one can wait for ever, or change something.
"""

from __future__ import annotations

import os
import stat
from io import FileIO

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class NotRegularFile(OSError):
    """Something that is no regular file where one is read; `strerror` says what it is."""


def check_regular(path: str | os.PathLike[str], mode: int) -> None:
    """NotRegularFile unless `mode` (of `os.stat`) is that of a regular file."""
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise NotRegularFile(0, f"it is {kind}, not a regular file", os.fspath(path))


def open_regular(path: str | os.PathLike[str]) -> FileIO:
    """Open a regular file, or a link to one, for reading, without a buffer. NotRegularFile, or OSError as `open`.

    Looked at before it is opened, and again afterwards, since the name may have come to mean something else.
    """
    check_regular(path, os.stat(path).st_mode)  # noqa: PTH116 - this is the hot path
    descriptor = os.open(path, _FLAGS)
    try:
        check_regular(path, os.fstat(descriptor).st_mode)
    except OSError:
        os.close(descriptor)
        raise
    return FileIO(descriptor, "rb")
