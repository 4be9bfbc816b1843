"""Two processes that are told to make the same run: one makes it, the other one says who does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

from .jobs import script
from .kills import PATIENCE, Kills
from .toy_runs import OPTIONS, VARIANTS, difference
from .trial import Outcome, Verdict, last_lines, named

_SECONDS = ([], ["overwrite=true"])
"""What the second process is told besides."""


@dataclass(frozen=True)
class TwoAtOnce:
    """The second process begins at a random moment of the first."""

    trials: int
    name: str = "two processes on one run"

    def prepare(self, work: Path) -> None:
        Kills("moment", 1, 0).prepare(work)

    def attempt(self, work: Path, trial: Path, chance: Random, number: int) -> Outcome:
        variant = number % len(VARIANTS)
        whole = work / f"whole-1-{variant}"
        arguments = [*OPTIONS, *list(VARIANTS.values())[variant], "name=run"]
        more = _SECONDS[number % len(_SECONDS)]
        seconds = chance.uniform(0.0, 0.8) * float((whole / "ended").read_text())
        what = f"{list(VARIANTS)[variant]}: a second one {seconds:.2f} s later {' '.join(more)}"
        one = script("train", arguments, trial, trial / "log0")
        one.wait(seconds)
        other = script("train", [*arguments, *more], trial, trial / "log1")
        codes = [job.wait(PATIENCE) for job in (one, other)]
        for job in (one, other):
            job.stop()
        refused = [job for job, code in zip((one, other), codes, strict=True) if code]
        if None in codes or len(refused) > 1:
            return Outcome(
                Verdict.LOST, what, f"exit codes {codes}: {last_lines(one.said())} {last_lines(other.said())}"
            )
        wrong = difference(whole / "runs" / "run", trial / "runs" / "run")
        if wrong is not None:
            return Outcome(Verdict.LOST, what, f"exit codes {codes}, and {wrong}")
        if not refused:  # the second one came after the end of the first
            return Outcome(Verdict.SURVIVED, what)
        said = refused[0].said()
        holder = (one if refused[0] is other else other).process.pid
        told = named(said, f"is being written by process {holder}", "is finished")
        return Outcome(Verdict.NAMED if told else Verdict.LOST, what, last_lines(said))
