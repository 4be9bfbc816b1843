"""A disk of few bytes: a file system in memory that only one process and its children see. Needs no rights on Linux."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_USERS, _MOUNTS = 0x1000_0000, 0x0002_0000
"""Flags of unshare(2)."""


@dataclass(frozen=True)
class OnSmallDisk:
    """Runs `work` with `folder` on a disk of `size` bytes; what it leaves there is in `folder` afterwards."""

    folder: Path
    size: int
    work: Callable[[], object]

    def __call__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        outside = os.open(self.folder, os.O_RDONLY)
        _mount(self.folder, self.size)
        try:
            self.work()
        finally:
            shutil.copytree(self.folder, f"/proc/self/fd/{outside}", dirs_exist_ok=True)


def works() -> None:
    """OSError where no such disk can be made."""
    _mount(Path("/tmp"), 4096)


def _mount(folder: Path, size: int) -> None:
    user, group = os.getuid(), os.getgid()
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_USERS | _MOUNTS):
        raise OSError(ctypes.get_errno(), "this system makes no private file systems")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    if library.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, b"size=%d" % size):
        raise OSError(ctypes.get_errno(), f"no file system in memory at {folder}")
