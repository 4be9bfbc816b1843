"""Where each rank of a run stands: a small file for each, which the others read when one does not answer."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

_STOPPED = "its process is stopped"
LOST = 76
"""Exit code of a rank that ends because another one was lost (EX_PROTOCOL: a remote process broke the protocol)."""


@dataclass(frozen=True)
class Standing:
    """What one rank was doing when it last said so."""

    rank: int
    host: str
    pid: int
    doing: str
    """The phase of the step, or the callback, that it had begun."""
    iteration: int
    """Its finished iterations."""
    since: float
    """When it began that, in seconds since the epoch."""
    failed: str = ""
    """The error with which it ended, if any."""

    def write(self, folder: Path) -> None:
        """The main process, where it ends first, removes the folder meanwhile: then once more."""
        unfinished = folder / f".{self.rank}.unfinished"
        for _ in range(3):
            with suppress(FileNotFoundError):
                folder.mkdir(parents=True, exist_ok=True)
                unfinished.write_text(json.dumps(asdict(self)), encoding="utf-8")
                unfinished.replace(folder / f"{self.rank}.json")
                return

    @property
    def lost(self) -> str:
        """Why nothing more is to be expected of it, as far as this host knows; empty if it goes on."""
        if self.failed:
            return f"it failed: {self.failed}"
        if self.host != socket.gethostname():
            return ""
        try:
            state = psutil.Process(self.pid).status()
        except psutil.NoSuchProcess:
            return "its process is gone"
        gone = {psutil.STATUS_ZOMBIE: "its process is gone", psutil.STATUS_STOPPED: _STOPPED}
        return gone.get(state, "")

    @property
    def stopped(self) -> bool:
        return self.lost == _STOPPED

    def __str__(self) -> str:
        seconds, when = time.time() - self.since, time.strftime("%H:%M:%S", time.localtime(self.since))
        says = (
            f"rank {self.rank} (process {self.pid} on {self.host}): {self.doing}, {self.iteration} iterations done, "
            f"since {when} ({seconds:.0f} s)"
        )
        return f"{says}; {self.lost}" if self.lost else says


def read(folder: Path) -> list[Standing]:
    """The ranks in order; a file that is just being removed is left out."""
    found = []
    for path in folder.glob("*.json"):
        try:
            found.append(Standing(**json.loads(path.read_text(encoding="utf-8"))))
        except FileNotFoundError:
            continue
    return sorted(found, key=lambda standing: standing.rank)


@dataclass
class Doing:
    """What this process is doing; `told` is called at every change."""

    what: str = "begins"
    since: float = field(default_factory=time.time)
    told: Callable[[], None] | None = None

    def now(self, what: str) -> None:
        self.what, self.since = what, time.time()
        if self.told is not None:
            self.told()


def mine(rank: int, doing: Doing, iteration: int, failed: str = "") -> Standing:
    return Standing(rank, socket.gethostname(), os.getpid(), doing.what, iteration, doing.since, failed)
