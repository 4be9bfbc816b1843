"""Runs jobs in parallel, each in its own place, and ends all their processes."""

from __future__ import annotations

import fcntl
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import takewhile
from queue import SimpleQueue

import psutil

from hydra_plugins.kairos_torchrun._commands import Job
from hydra_plugins.kairos_torchrun._places import Place

_MORE = 10.0  # seconds that torchrun has to end after its processes
_TAIL = 15  # lines of the log that a failed job shows


def run_all(
    jobs: Sequence[Job],
    room: Sequence[Place],
    after_each: Callable[[], None],
    seconds: float | None = None,
    stop_seconds: float = 120.0,
) -> tuple[list[Job], list[Job]]:
    """Run every unfinished job; returns the jobs that failed and those for which `seconds` were not enough.

    A job starts only if it would end in time when it takes as long as the longest so far. Running jobs are stopped when
    the time is up or the sweep is interrupted: they have `stop_seconds` to save what they have.
    """
    waiting = [job for job in jobs if not _skip(job)]
    if len(waiting) < len(jobs):
        after_each()
    crew = _Crew(room, seconds, stop_seconds)
    with ThreadPoolExecutor(len(room)) as threads:
        try:
            futures = [threads.submit(crew.run, job) for job in waiting]
            for future in as_completed(futures, seconds):
                if future.result() is not None:
                    after_each()
        except TimeoutError:
            pass  # the time is up: what has not ended is stopped
        finally:
            crew.stop()
    done = [(job, future.result()) for job, future in zip(waiting, futures, strict=True)]
    return [job for job, succeeded in done if succeeded is False], [job for job, ended in done if ended is None]


class _Crew:
    """State shared by the threads, each of which runs one job: free places, running processes, time left."""

    def __init__(self, room: Sequence[Place], seconds: float | None, stop_seconds: float) -> None:
        self._stop_seconds = stop_seconds
        self._free: SimpleQueue[Place] = SimpleQueue()
        for place in room:
            self._free.put(place)
        self._lock, self._running, self._stopped = threading.Lock(), dict[str, subprocess.Popen[bytes]](), False
        self._end, self._longest = math.inf if seconds is None else time.perf_counter() + seconds, 0.0

    def run(self, job: Job) -> bool | None:
        """Whether the job succeeded; None if it was stopped, or not started for lack of time."""
        place, begun = self._free.get(), time.perf_counter()
        try:
            with self._lock:
                if self._stopped or begun + self._longest >= self._end:
                    return None
                log_from, process = _start(job, place)
                if process is None:
                    return False
                self._running[job.name] = process
            code = process.wait()
            seconds = time.perf_counter() - begun
            with self._lock:
                self._running.pop(job.name, None)
                if self._stopped and not job.run.finished:
                    return None
                succeeded = _succeeded(job, code, seconds, log_from)
                self._longest = max(self._longest, seconds) if succeeded else self._longest
                return succeeded
        finally:
            self._free.put(place)

    def stop(self) -> None:
        """Terminate running jobs, kill what is left after the grace period, and start no more."""
        with self._lock:
            self._stopped, running = True, dict(self._running)
        tree = [process for each in running.values() for process in _family(each.pid)]
        for name, process in running.items():
            print(f"{name} is stopped; repeat the command to go on with it", file=sys.stderr, flush=True)
            process.terminate()
        _, alive = psutil.wait_procs(tree, timeout=self._stop_seconds + _MORE)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=_MORE)


def _skip(job: Job) -> bool:
    if job.skipped:
        print(f"{job.name} {job.run.path} is finished: skipped")
    return job.skipped


def _start(job: Job, place: Place) -> tuple[int, subprocess.Popen[bytes] | None]:
    """Where in the log the process begins to write, and the process.

    No process where the run is somebody else's: the lock on its log is held by whatever processes write to it.
    """
    job.run.path.mkdir(parents=True, exist_ok=True)
    with job.log.open("ab") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{job.name} is already running: {job.log} is being written", file=sys.stderr)
            return 0, None
        log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {place}: {' '.join(job.command)}\n".encode())
        log.flush()
        print(f"{job.name} {'continues' if job.run.begun else 'begins'} on {place}: {job.run.path}", flush=True)
        return log.tell(), subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=place.environment(os.environ),
            start_new_session=True,
        )


def _succeeded(job: Job, code: int, seconds: float, log_from: int) -> bool:
    if code == 0 and job.run.finished:
        print(f"{job.name} finished after {seconds:.0f} s", flush=True)
        return True
    said = "\n".join(f"  {line}" for line in _last_words(job, log_from))
    print(f"{job.name} failed (exit code {code}) after {seconds:.0f} s, see {job.log}:\n{said}", file=sys.stderr)
    return False


def _last_words(job: Job, log_from: int) -> list[str]:
    """The last lines of the script's output, without torchrun's own messages."""
    with job.log.open("rb") as log:
        log.seek(log_from)
        lines = log.read().decode(errors="replace").splitlines()
    own = list(takewhile(lambda line: "torch/distributed/elastic" not in line, lines))
    return (own or lines)[-_TAIL:]


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
