"""Runs that are told to stop: each saves what it has, ends with the signal's exit code, and goes on as if unbroken."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import MappingProxyType

from .jobs import Job, ranks, script, wait_for_all
from .kills import PATIENCE, Kills
from .toy_runs import OPTIONS, TWO, VARIANTS, difference
from .trial import Outcome, Verdict, last_lines

CODES: Mapping[int, tuple[int, ...]] = MappingProxyType({
    signal.SIGTERM: (143, -signal.SIGTERM),
    signal.SIGINT: (130, -signal.SIGINT),
})  # fmt: skip
"""The exit codes that tell a shell of the signal."""
_END = 60.0
"""Seconds in which a run that was told to stop must have ended."""


@dataclass(frozen=True)
class Signals:
    """SIGTERM or SIGINT, once or twice, at a random moment, to all processes of a run."""

    world: int
    trials: int

    @property
    def name(self) -> str:
        return f"told to stop, {self.world} process{'es' if self.world > 1 else ''}"

    def prepare(self, work: Path) -> None:
        Kills("moment", self.world, 0).prepare(work)

    def attempt(self, work: Path, trial: Path, chance: Random, number: int) -> Outcome:
        variant = number % len(VARIANTS)
        whole, run = work / f"whole-{self.world}-{variant}", trial / "runs" / "run"
        sent, times = chance.choice(list(CODES)), chance.choice([1, 1, 2])
        rows, seconds = chance.randrange(8), chance.uniform(0.0, 0.3)
        what = (
            f"{list(VARIANTS)[variant]}: {times} x {signal.Signals(sent).name} {seconds:.2f} s after {rows} iterations"
        )
        jobs = self._start(variant, trial)
        _wait_for_rows(jobs[0], run / "metrics.jsonl", rows)
        jobs[0].wait(seconds)
        allowed = [(0,) if job.process.exitcode == 0 else CODES[sent] for job in jobs]  # a rank may end before rank 0
        for again in range(times):
            jobs[0].wait(1.0 * again)  # sooner, two signals are one: a terminal's and the parent's
            for job in jobs:
                job.send(sent)
        codes = wait_for_all(jobs, _END)
        said = last_lines(jobs[0].said())
        finished = (run / "summary.json").exists()
        stopped = all(code in fine for code, fine in zip(codes, allowed, strict=True))
        if not stopped and not (finished and not any(codes)):
            return Outcome(Verdict.LOST, what, f"exit codes {codes}: {said}")
        if times == 1 and not finished and (wrong := _unsaved(run)):
            return Outcome(Verdict.LOST, what, f"{wrong}: {said}")
        if not finished:
            codes = wait_for_all(self._start(variant, trial), PATIENCE)
            if any(codes):
                return Outcome(Verdict.LOST, what, f"the run that goes on ended with {codes}")
        wrong = difference(whole / "runs" / "run", run)
        return Outcome(Verdict.SURVIVED if wrong is None else Verdict.LOST, what, wrong or said)

    def _start(self, variant: int, folder: Path) -> list[Job]:
        arguments = [*OPTIONS, *list(VARIANTS.values())[variant], "name=run"]
        if self.world == 1:
            return [script("train", arguments, folder, folder / "logs" / "rank0.log")]
        return ranks(self.world, [*arguments, *TWO], folder, folder / "logs")


def _wait_for_rows(job: Job, log: Path, rows: int) -> None:
    """Until so many iterations are logged, or the run has its first file, or the job has ended."""
    while job.process.is_alive():
        if log.parent.exists() and (not rows or (log.exists() and len(log.read_bytes().splitlines()) >= rows)):
            return
        time.sleep(0.002)


def _unsaved(run: Path) -> str | None:
    """What is wrong if the last iteration that was logged is in no checkpoint."""
    log = run / "metrics.jsonl"
    done = len(log.read_bytes().splitlines()) if log.exists() else 0
    if done and not (run / "checkpoints" / f"iteration-{done:06d}.ckpt").exists():
        return f"iteration {done} was not saved"
    return None
