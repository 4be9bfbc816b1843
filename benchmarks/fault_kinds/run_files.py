"""A killed run goes on after one of its files was damaged: does it end as the unbroken run, or say what is wrong?"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import MappingProxyType

from .damage import DAMAGES
from .jobs import script
from .toy_runs import OPTIONS, VARIANTS, difference
from .trial import Outcome, Verdict, last_lines, named

PATTERNS: Mapping[str, str] = MappingProxyType({
    "checkpoint": "checkpoints/iteration-*.ckpt",
    "metrics.jsonl": "metrics.jsonl",
    "rollouts.jsonl": "rollouts.jsonl",
    "config.yaml": "config.yaml",
    "overrides.yaml": "overrides.yaml",
    "sessions.json": "sessions.json",
    "predictions": "predictions/before.jsonl",
    "selection": "selections/*.json",
})  # fmt: skip
"""The files of a run by kind; of several the last one is damaged."""
_VARIANT = [*OPTIONS, *VARIANTS["selected again"], "name=run"]
_PATIENCE = 240.0


@dataclass(frozen=True)
class RunFile:
    """A run that was killed after its third checkpoint goes on by `run=<folder>` after one of its files was damaged."""

    file: str
    damage: str
    trials: int = 20

    @property
    def name(self) -> str:
        return f"{self.damage}: {self.file} of a run that goes on"

    def prepare(self, work: Path) -> None:
        """An unbroken run, and one that was killed."""
        whole, killed = work / "resumed-whole", work / "resumed-killed"
        if not (whole / "runs" / "run" / "summary.json").exists():
            job = script("train", _VARIANT, whole, whole / "log")
            if job.wait(_PATIENCE) != 0:
                raise RuntimeError(f"the unbroken run did not end: see {job.log}")
        if (killed / "ready").exists():
            return
        shutil.rmtree(killed, ignore_errors=True)
        job = script("train", _VARIANT, killed, killed / "log")
        until = time.monotonic() + _PATIENCE
        while not list((killed / "runs" / "run" / "checkpoints").glob("iteration-000006.ckpt")):
            if time.monotonic() > until:
                raise RuntimeError(f"no checkpoint was written: see {job.log}")
            time.sleep(0.001)
        job.send(signal.SIGKILL)
        job.stop()
        if (killed / "runs" / "run" / "summary.json").exists():
            raise RuntimeError("the run was killed too late: begin again")
        (killed / "ready").touch()

    def attempt(self, work: Path, trial: Path, chance: Random, number: int) -> Outcome:
        del number
        run, whole = trial / "runs" / "run", work / "resumed-whole" / "runs" / "run"
        shutil.copytree(work / "resumed-killed" / "runs" / "run", run)
        victim = max(run.glob(PATTERNS[self.file]))
        what = f"{victim.relative_to(run)}: {DAMAGES[self.damage](victim, chance)}"
        job = script("train", ["run=runs/run"], trial, trial / "log")
        code = job.wait(_PATIENCE)
        job.stop()
        said = job.said()
        if code != 0:
            told = named(said, victim.name, "was begun with another configuration") and code is not None
            return Outcome(Verdict.NAMED if told else Verdict.LOST, what, f"exit code {code}: {last_lines(said)}")
        wrong = difference(whole, run) or self._sessions(work, run)
        if wrong is None:
            return Outcome(Verdict.SURVIVED, what, last_lines(said, 1) if "iteration-000004" in said else "")
        return Outcome(Verdict.LOST, what, f"it ended, but {wrong}: {last_lines(said)}")

    def _sessions(self, work: Path, run: Path) -> str | None:
        """What is wrong with the note of the killed session, whose start no clock of this trial decides."""
        before, now = (
            json.loads((folder / "sessions.json").read_text())
            for folder in (work / "resumed-killed" / "runs" / "run", run)
        )
        return None if now[0]["started"] == before[0]["started"] else "sessions.json tells another beginning"
