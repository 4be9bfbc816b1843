"""Runs on a disk that becomes full: each says so, and goes on when there is room."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

from .jobs import Job, call, run_script, script
from .kills import PATIENCE, Kills
from .sabotage import MayWrite
from .small_disk import OnSmallDisk, works
from .toy_runs import OPTIONS, VARIANTS, difference, sizes
from .trial import NotHere, Outcome, Verdict, last_lines, named

_REASONS = ("No space left on device", "File too large")


@dataclass(frozen=True)
class FullDisk:
    """`how`: "a small disk" or "files that may not grow"."""

    how: str
    trials: int

    @property
    def name(self) -> str:
        return f"disk full: {self.how}"

    def prepare(self, work: Path) -> None:
        if self.how == "a small disk" and call(works, work, work / "small-disk.log").wait(10) != 0:
            raise NotHere(last_lines((work / "small-disk.log").read_text(), 1))
        Kills("moment", 1, 0).prepare(work)

    def attempt(self, work: Path, trial: Path, chance: Random, number: int) -> Outcome:
        variant = number % len(VARIANTS)
        whole = work / f"whole-1-{variant}" / "runs" / "run"
        arguments = [*OPTIONS, *list(VARIANTS.values())[variant], "name=run"]
        job, what = self._begin(arguments, whole, trial, chance)
        code = job.wait(PATIENCE)
        job.stop()
        said = job.said()
        what = f"{list(VARIANTS)[variant]}: {what}"
        if code is None or (code != 0 and not (named(said, *_REASONS) and "runs/run" in said)):
            return Outcome(Verdict.LOST, what, f"exit code {code}: {last_lines(said)}")
        if code != 0 or not (trial / "runs" / "run" / "summary.json").exists():
            again = script("train", arguments, trial, trial / "log")
            if again.wait(PATIENCE) != 0:
                return Outcome(Verdict.LOST, what, f"the run that goes on did not end: {last_lines(again.said())}")
        wrong = difference(whole, trial / "runs" / "run")
        if wrong is not None:
            return Outcome(Verdict.LOST, what, wrong)
        return Outcome(Verdict.NAMED if code else Verdict.SURVIVED, what, last_lines(said, 1) if code else "")

    def _begin(self, arguments: list[str], whole: Path, trial: Path, chance: Random) -> tuple[Job, str]:
        written = sizes(whole)
        if self.how == "a small disk":
            size = chance.randint(16_384, sum(written))
            disk = OnSmallDisk(trial / "runs", size, lambda: run_script("train", arguments))
            return call(disk, trial, trial / "full.log"), f"{size} bytes"
        size = chance.randint(500, written[-1])
        return script("train", arguments, trial, trial / "full.log", MayWrite(size)), f"{size} bytes a file"
