"""Locks a run's folder, so that no two processes write to it at once."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

from kairos.runs.folder import LOCK, RunError, RunFolder

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


class locked:
    """Inside this context no other process writes to `folder`: RunError, which says who does, if one is writing there.

    The lock is the kernel's (`flock` on the file `.lock`), so it ends with the process, however that ends. Where the
    file system has no locks, as some network file systems, a warning is printed and nothing is protected. A folder that
    does not exist is created, and removed again if it is still empty at the end.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._file = folder, -1

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / LOCK
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists() or not os.path.samestat(os.fstat(file), path.stat()):
                raise BlockingIOError  # its holder has removed the file in between, so another may have a new one
        except BlockingIOError:
            os.close(file)
            raise RunError(
                f"{self.folder} is being written by {_holder(path)}: wait for its end, stop it or choose another name="
            ) from None
        except OSError as error:
            os.close(file)
            if error.errno not in _UNSUPPORTED:
                raise
            path.unlink(missing_ok=True)
            print(f"{self.folder} cannot be locked ({error}): let no second process write there", file=sys.stderr)
            return self
        self._file = file
        os.register_at_fork(after_in_child=self._close)  # or a loader process would hold it when this one is killed
        says = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(says).encode(), 0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if self._file < 0:
            return
        (self.folder / LOCK).unlink(missing_ok=True)
        self._close()
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def locked_run_of(path: Path) -> AbstractContextManager[object]:
    """The lock of the run in whose folder `path` lies; no lock if it lies in none."""
    run = next((folder for folder in path.absolute().parents if RunFolder(folder).begun), None)
    return nullcontext() if run is None else locked(run)


def _holder(path: Path) -> str:
    try:
        says = json.loads(path.read_bytes())
        return f"process {says['pid']} on {says['host']}, since {says['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"  # which is about to write who it is
