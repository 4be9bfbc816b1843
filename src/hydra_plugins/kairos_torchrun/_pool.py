"""Runs jobs side by side, each in a place of its own, and leaves no process behind."""

from __future__ import annotations

import fcntl
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from types import FrameType

import psutil

from hydra_plugins.kairos_torchrun._commands import Job
from hydra_plugins.kairos_torchrun._places import Place

_POLL = 0.2  # seconds
_GRACE = 20.0  # seconds that a stopped job has to end by itself
_TAIL = 15  # lines of the log that a failed job shows


@dataclass(frozen=True)
class _Running:
    job: Job
    place: Place
    process: subprocess.Popen[bytes]
    started: float
    log_from: int


def run_all(
    jobs: Sequence[Job], room: Sequence[Place], after_each: Callable[[], None], seconds: float | None = None
) -> tuple[list[Job], list[Job]]:
    """Do every job that is not finished; gives those that failed and those for which `seconds` were not enough.

    No job begins that would not end in time if it took as long as the longest so far. What runs is stopped when the
    time is up, and when this is interrupted.
    """
    waiting, free = [job for job in jobs if not _skip(job)], list(room)
    running: list[_Running] = []
    failed: list[Job] = []
    left: list[Job] = []
    end, longest = math.inf if seconds is None else time.perf_counter() + seconds, 0.0
    if len(waiting) < len(jobs):
        after_each()
    with _terminable():
        try:
            while waiting or running:
                now = time.perf_counter()
                if now + longest >= end:
                    left, waiting = [*left, *waiting], []
                if now >= end:
                    left = [*(each.job for each in running), *left]
                    break
                while waiting and free:
                    job, place = waiting.pop(0), free.pop(0)
                    started = _start(job, place)
                    if started is None:
                        failed.append(job)
                        free.append(place)
                    else:
                        running.append(started)
                ended = [each for each in running if each.process.poll() is not None]
                for each in ended:
                    running.remove(each)
                    free.append(each.place)
                    if _succeeded(each):
                        longest = max(longest, time.perf_counter() - each.started)
                    else:
                        failed.append(each.job)
                    after_each()
                if not ended:
                    time.sleep(_POLL)
        finally:
            _stop(running)
    return failed, left


def _skip(job: Job) -> bool:
    if job.skipped:
        print(f"{job.name} {job.run.path} is finished: skipped")
    return job.skipped


def _start(job: Job, place: Place) -> _Running | None:
    """None where the run is somebody else's: the lock on its log is held by whatever processes write to it."""
    job.run.path.mkdir(parents=True, exist_ok=True)
    with job.log.open("ab") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{job.name} is already running: {job.log} is being written", file=sys.stderr)
            return None
        log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {place}: {' '.join(job.command)}\n".encode())
        log.flush()
        log_from = log.tell()
        print(f"{job.name} {'continues' if job.run.begun else 'begins'} on {place}: {job.run.path}", flush=True)
        process = subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=place.environment(os.environ),
            start_new_session=True,
        )
    return _Running(job, place, process, time.perf_counter(), log_from)


def _succeeded(ended: _Running) -> bool:
    job, code, seconds = ended.job, ended.process.returncode, time.perf_counter() - ended.started
    if code == 0 and job.run.finished:
        print(f"{job.name} finished after {seconds:.0f} s", flush=True)
        return True
    said = "\n".join(f"  {line}" for line in _last_words(ended))
    print(f"{job.name} failed (exit code {code}) after {seconds:.0f} s, see {job.log}:\n{said}", file=sys.stderr)
    return False


def _last_words(ended: _Running) -> list[str]:
    """The last lines that the script wrote, without what torchrun has to say about them."""
    with ended.job.log.open("rb") as log:
        log.seek(ended.log_from)
        lines = log.read().decode(errors="replace").splitlines()
    own = list(takewhile(lambda line: "torch/distributed/elastic" not in line, lines))
    return (own or lines)[-_TAIL:]


@contextmanager
def _terminable() -> Iterator[None]:
    """A SIGTERM (a scheduler's, a timeout's) ends the sweep as ctrl-C does: through every `finally`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(running: Sequence[_Running]) -> None:
    """Ask torchrun to end its processes, and end by force what is left after the grace."""
    tree = [process for each in running for process in _family(each.process.pid)]
    for each in running:
        print(f"{each.job.name} is stopped; repeat the command to go on with it", file=sys.stderr, flush=True)
        each.process.terminate()
    _, alive = psutil.wait_procs(tree, timeout=_GRACE)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=_GRACE)


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
