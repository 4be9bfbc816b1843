"""What is done to a process from within before it begins: it dies at a file operation, or may write only so much."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "shutil.rmtree")
"""Events of Python's audit hooks that change a folder; a file that is opened for writing is `open`."""


@dataclass(frozen=True)
class DiesAtOperation:
    """Kills its process before the `number`-th file operation below `folder` (opening for writing, renaming, ...)."""

    folder: Path
    number: int

    def __call__(self) -> None:
        left = self.number

        def count() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        _watch(self.folder, count)


@dataclass(frozen=True)
class CountsOperations:
    """Writes the number of file operations below `folder` to `to` after each of them."""

    folder: Path
    to: Path

    def __call__(self) -> None:
        descriptor, done = os.open(self.to, os.O_WRONLY | os.O_CREAT, 0o644), 0

        def count() -> None:
            nonlocal done
            done += 1
            os.pwrite(descriptor, b"%d" % done, 0)

        _watch(self.folder, count)


@dataclass(frozen=True)
class DiesInWrite:
    """The kernel kills the process when it writes beyond byte `size` of any file; the bytes before are written."""

    size: int

    def __call__(self) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))


@dataclass(frozen=True)
class MayWrite:
    """No file may grow beyond `size` bytes: writing fails, as on a full disk."""

    size: int

    def __call__(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))


def _watch(folder: Path, count: Callable[[], None]) -> None:
    below = os.path.realpath(folder) + os.sep

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event in _CHANGES:
            path = arguments[0]
        else:
            return
        if isinstance(path, str | os.PathLike) and os.path.realpath(path).startswith(below):
            count()

    sys.addaudithook(hook)
