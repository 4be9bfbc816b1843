"""Runs the project's scripts in processes of their own, forked from this one so that nothing is imported again."""

from __future__ import annotations

import multiprocessing
import os
import resource
import runpy
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import ForkProcess
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
_fork = multiprocessing.get_context("fork")


def nothing() -> None:
    """Prepares a process in no way."""


@dataclass(frozen=True)
class Job:
    """A process that runs."""

    process: ForkProcess
    log: Path
    """What it says: standard output and error."""

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def send(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.process.is_alive() and self.process.pid is not None:
            os.kill(self.process.pid, number)

    def wait(self, seconds: float) -> int | None:
        """The exit code, -n if signal n ended it; None if it does not end in time."""
        self.process.join(seconds)
        return self.process.exitcode

    def stop(self) -> None:
        """End it and the processes that it started."""
        if self.process.pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join(10)


def call(work: Callable[[], object], folder: Path, log: Path, before: Callable[[], None] = nothing) -> Job:
    """Start `work` in a process of its own, from `folder`, after `before`."""
    folder.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    process = _fork.Process(target=_child, args=(work, folder, log, before, {}))
    process.start()
    return Job(process, log)


def script(name: str, arguments: Sequence[str], folder: Path, log: Path, before: Callable[[], None] = nothing) -> Job:
    """Start `python scripts/<name>.py <arguments>` in `folder`."""
    return call(lambda: run_script(name, arguments), folder, log, before)


def ranks(
    count: int, arguments: Sequence[str], folder: Path, logs: Path, before: Sequence[Callable[[], None]] = ()
) -> list[Job]:
    """Start `count` ranks of `scripts/train.py` as torchrun does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    folder.mkdir(parents=True, exist_ok=True)
    logs.mkdir(parents=True, exist_ok=True)
    started = []
    for rank in range(count):
        places = {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
            "GROUP_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "faults",
        }  # fmt: skip
        log = logs / f"rank{rank}.log"
        first = before[rank] if before else nothing
        process = _fork.Process(
            target=_child, args=(lambda: run_script("train", arguments), folder, log, first, places)
        )
        process.start()
        started.append(Job(process, log))
    return started


def wait_for_all(jobs: Sequence[Job], seconds: float) -> list[int | None]:
    """Their exit codes, None for those that did not end in time. They are all ended afterwards."""
    until = time.monotonic() + seconds
    codes = [job.wait(max(0.1, until - time.monotonic())) for job in jobs]
    for job in jobs:
        job.stop()
    return codes


def run_script(name: str, arguments: Sequence[str]) -> None:
    """Run a script in this process, as if it had been started with these arguments."""
    file = SCRIPTS / f"{name}.py"
    sys.argv = [str(file), *arguments]
    runpy.run_path(str(file), run_name="__main__")


def _child(
    work: Callable[[], object], folder: Path, log: Path, before: Callable[[], None], places: Mapping[str, str]
) -> None:
    from lightning_utilities.core.rank_zero import rank_zero_only

    os.setsid()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(folder)
    os.environ.update(places)
    if places:
        rank_zero_only.rank = int(places["RANK"])  # set at import, which was before the fork
    before()
    try:
        work()
    except KeyboardInterrupt:  # of which a forked process would make the exit code 1
        traceback.print_exc()
        sys.stdout.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
