"""Runs that are killed, once or several times, and begun again until they end: are they the unbroken run?"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from .jobs import Job, nothing, ranks, script, wait_for_all
from .sabotage import CountsOperations, DiesAtOperation, DiesInWrite
from .toy_runs import OPTIONS, TWO, VARIANTS, difference, sizes
from .trial import Outcome, Verdict, last_lines

PATIENCE = 240.0
"""Seconds after which a run counts as one that does not end; one takes a few."""
_ALONE = 20.0
"""Seconds that a rank may go on when another one was killed; then it is ended, as torchrun does."""


@dataclass(frozen=True)
class Kills:
    """A run of `world` processes is killed and begun again by the same command.

    `when`: "moment" (at a random time), "operation" (before a random file operation), "write" (in the middle of writing
    a file).
    """

    when: str
    world: int
    trials: int

    @property
    def name(self) -> str:
        return f"killed, {self.world} process{'es' if self.world > 1 else ''}, at a random {self.when}"

    def prepare(self, work: Path) -> None:
        for number, variant in enumerate(VARIANTS):
            folder = work / f"whole-{self.world}-{number}"
            if (folder / "ended").exists():
                continue
            count = CountsOperations(folder, folder / "operations")
            begun = time.monotonic()
            codes = wait_for_all(self._start(variant, folder, [count]), PATIENCE)
            if any(codes):
                raise RuntimeError(f"the unbroken run in {folder} ended with {codes}: see its logs")
            (folder / "ended").write_text(f"{time.monotonic() - begun}")

    def attempt(self, work: Path, trial: Path, chance: Random, number: int) -> Outcome:
        variant = list(VARIANTS)[number % len(VARIANTS)]
        whole = work / f"whole-{self.world}-{number % len(VARIANTS)}"
        what = [f"{variant}:"]
        for _ in range(chance.choice([1, 1, 2])):
            what.append(self._kill(variant, whole, trial, chance))
        codes = wait_for_all(self._start(variant, trial), PATIENCE)
        said = last_lines((trial / "logs" / "rank0.log").read_text(errors="replace"))
        if (trial / "runs" / "run" / "summary.json").exists() and "is finished; say overwrite=true" in said:
            codes = [0] * self.world  # it was killed after its end
        if any(codes):
            return Outcome(Verdict.LOST, " ".join(what), f"the run that goes on ended with {codes}: {said}")
        wrong = difference(whole / "runs" / "run", trial / "runs" / "run")
        return Outcome(Verdict.SURVIVED if wrong is None else Verdict.LOST, " ".join(what), wrong or "")

    def _start(self, variant: str, folder: Path, before: Sequence[Callable[[], None]] = ()) -> list[Job]:
        arguments = [*OPTIONS, *VARIANTS[variant], "name=run"]
        first = [*before, *[nothing] * (self.world - len(before))]
        if self.world == 1:
            return [script("train", arguments, folder, folder / "logs" / "rank0.log", first[0])]
        return ranks(self.world, [*arguments, *TWO], folder, folder / "logs", first)

    def _kill(self, variant: str, whole: Path, trial: Path, chance: Random) -> str:
        """Begin the run and kill one of its processes; says when."""
        victim, sabotage = 0, nothing
        if self.when == "moment":
            victim = chance.randrange(self.world)
            seconds = chance.uniform(0.1, 0.9) * float((whole / "ended").read_text())
            when = f"rank {victim} after {seconds:.2f} s"
        elif self.when == "operation":
            at = chance.randint(1, int((whole / "operations").read_text()))
            sabotage, when = DiesAtOperation(trial, at), f"file operation {at}"
        else:
            size = chance.randint(200, sizes(whole / "runs" / "run")[-1])
            sabotage, when = DiesInWrite(size), f"byte {size} of a file"
        jobs = self._start(variant, trial, [sabotage])
        if self.when == "moment":
            jobs[victim].wait(seconds)
            jobs[victim].send(signal.SIGKILL)
        jobs[victim].wait(PATIENCE)
        wait_for_all(jobs, _ALONE)
        return f"{when} (exit code {jobs[victim].process.exitcode})"
