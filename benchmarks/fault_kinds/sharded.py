"""Sharded checkpoints that are killed in their writing, damaged, pickled, or read by another number of processes."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import MappingProxyType

import torch

from kairos.core.seals import seal_of
from kairos.policy.models.checkpoints import state_of
from kairos.policy.models.shards.index import Index

from .damage import DAMAGES
from .jobs import Job, nothing, ranks, script, wait_for_all
from .sabotage import CountsOperations, DiesAtOperation, DiesInWrite
from .toy_runs import OPTIONS, VARIANTS, difference
from .trial import Outcome, Verdict, last_lines, named

SHARDS: Mapping[str, str] = MappingProxyType({
    "a rank's shards": "rank-*.safetensors",
    "the index": "index.json",
    "the index's seal": ".index.json.seal",
})  # fmt: skip
"""The files of a sharded checkpoint by kind; of several the last one is damaged."""
_TWO = [
    *(o for o in OPTIONS if not o.startswith("prompts=")),
    *VARIANTS["four updates"],
    "name=run",
    "trainer.devices=2",
    "prompts=2",
]
_SHARDED = [*_TWO, "strategy=fsdp2"]
_PATIENCE, _ALONE = 240.0, 20.0
_NEAR = 1e-3
"""What weights of two runs may differ in whose gradients are summed in another order."""


def whole_and_killed(work: Path) -> tuple[Path, Path]:
    """An unbroken run of two processes, and one that was killed after its third checkpoint; made once."""
    whole, killed = work / "sharded-whole", work / "sharded-killed"
    for folder in (whole, killed):
        if (folder / "ready").exists():
            continue
        shutil.rmtree(folder, ignore_errors=True)
        counts = [CountsOperations(folder / "runs/run/checkpoints", folder / f"operations-{rank}") for rank in (0, 1)]
        folder.mkdir(parents=True)
        jobs = ranks(2, _SHARDED, folder, folder / "logs", counts)
        if folder is killed:
            _kill_after(folder / "runs/run/checkpoints/iteration-000006.ckpt", jobs)
        elif any(wait_for_all(jobs, _PATIENCE)):
            raise RuntimeError(f"the unbroken run did not end: see {jobs[0].log}")
        if (folder / "runs/run/summary.json").exists() == (folder is killed):
            raise RuntimeError("the run was killed too late: begin again")
        (folder / "ready").touch()
    return whole / "runs/run", killed / "runs/run"


def _kill_after(path: Path, jobs: list[Job]) -> None:
    until = time.monotonic() + _PATIENCE
    while not path.exists():
        if time.monotonic() > until:
            raise RuntimeError(f"no checkpoint was written: see {jobs[0].log}")
        time.sleep(0.001)
    for job in jobs:
        job.send(signal.SIGKILL)
    for job in jobs:
        job.stop()


@dataclass(frozen=True)
class KilledShards:
    """One of two ranks dies at a random point of writing a checkpoint; then the same command is given again."""

    trials: int
    name: str = "killed while a sharded checkpoint is written"

    def prepare(self, work: Path) -> None:
        whole_and_killed(work)

    def attempt(self, work: Path, trial: Path, chance: Random, number: int) -> Outcome:
        whole, _ = whole_and_killed(work)
        victim = number % 2
        if victim and chance.random() < 0.5:  # rank 1 writes nothing else
            size = chance.randrange(1, max(path.stat().st_size for path in whole.glob("checkpoints/*/rank-00001*")))
            sabotage, when = DiesInWrite(size), f"byte {size} of its shards"
        else:
            at = chance.randint(1, int((work / "sharded-whole" / f"operations-{victim}").read_text()))
            sabotage, when = DiesAtOperation(trial / "runs/run/checkpoints", at), f"file operation {at}"
        before = [nothing, nothing]
        before[victim] = sabotage
        jobs = ranks(2, _SHARDED, trial, trial / "logs", before)
        jobs[victim].wait(_PATIENCE)
        wait_for_all(jobs, _ALONE)
        what = f"rank {victim} at {when} (exit code {jobs[victim].process.exitcode})"
        codes = wait_for_all(jobs := ranks(2, _SHARDED, trial, trial / "again"), _PATIENCE)
        if any(codes) and "is finished; say overwrite=true" not in jobs[0].said():
            return Outcome(Verdict.LOST, what, f"the run that goes on ended with {codes}: {last_lines(jobs[0].said())}")
        wrong = difference(whole, trial / "runs/run")
        return Outcome(Verdict.SURVIVED if wrong is None else Verdict.LOST, what, wrong or "")


@dataclass(frozen=True)
class DamagedShards:
    """A file of the newest checkpoint is damaged; then the run goes on."""

    file: str
    damage: str
    trials: int

    @property
    def name(self) -> str:
        return f"{self.damage}: {self.file} of a sharded checkpoint"

    def prepare(self, work: Path) -> None:
        whole_and_killed(work)

    def attempt(self, work: Path, trial: Path, chance: Random, number: int) -> Outcome:
        del number
        run, newest = _copy(work, trial)
        victim = max(newest.glob(SHARDS[self.file]))
        what = f"{victim.name}: {DAMAGES[self.damage](victim, chance)}"
        return _goes_on(work, trial, run, what, newest.name)


@dataclass(frozen=True)
class PickledShards:
    """The newest checkpoint holds a pickle, with an index and a seal that fit it."""

    trials: int
    name: str = "a pickle in a sharded checkpoint"

    def prepare(self, work: Path) -> None:
        whole_and_killed(work)

    def attempt(self, work: Path, trial: Path, chance: Random, number: int) -> Outcome:
        del number
        run, newest = _copy(work, trial)
        mark, file = trial / "mark", newest / f"rank-0000{chance.randrange(2)}.safetensors"
        file.write_bytes(pickle.dumps(_Evil(str(mark))))
        index = Index.read(newest)
        Index({**index.files, file.name: seal_of(file)}, index.tensors, index.state).write(newest)
        outcome = _goes_on(work, trial, run, f"{file.name} is a pickle", file.name)
        return Outcome(Verdict.LOST, outcome.what, "the pickle was loaded") if mark.exists() else outcome


class _Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.mark,)


@dataclass(frozen=True)
class OtherWorld:
    """A killed run of two processes goes on with one, or under another strategy: as the unbroken one, but rounding."""

    trials: int
    name: str = "a sharded run goes on with other devices"

    def prepare(self, work: Path) -> None:
        whole_and_killed(work)

    def attempt(self, work: Path, trial: Path, chance: Random, number: int) -> Outcome:
        whole, _ = whole_and_killed(work)
        run, _ = _copy(work, trial)
        for later in sorted(run.glob("checkpoints/iteration-*"))[: chance.randrange(2)]:
            shutil.rmtree(later)
        if number % 2:
            what, options = "one process", ["strategy=single", "trainer.devices=1", "prompts=4", "allow_changes=true"]
            jobs = [script("train", ["run=runs/run", *options], trial, trial / "log")]
        else:
            what = "strategy=ddp"
            jobs = ranks(2, ["run=runs/run", "strategy=ddp"], trial, trial / "logs")
        if any(codes := wait_for_all(jobs, _PATIENCE)):
            return Outcome(Verdict.LOST, what, f"exit codes {codes}: {last_lines(jobs[0].said())}")
        ours, theirs = (state_of(max(path.glob("checkpoints/iteration-*.ckpt"))) for path in (run, whole))
        far = max(float((ours[name] - theirs[name]).abs().max()) for name in theirs)
        return Outcome(Verdict.SURVIVED if far < _NEAR else Verdict.LOST, what, f"weights differ by {far:.2g} at most")


@dataclass(frozen=True)
class Poisoned:
    """The loss of some updates is not finite: they are skipped, the run ends, and its weights are finite."""

    trials: int
    name: str = "a loss that is not finite"

    def prepare(self, work: Path) -> None:
        """Nothing is needed."""

    def attempt(self, work: Path, trial: Path, chance: Random, number: int) -> Outcome:
        updates = sorted(chance.sample(range(1, 32, 4), chance.choice([1, 2])))
        where = chance.choice(["null", "0", "1"])
        poison = f"{{_target_: fault_kinds.poison.Poison, updates: {updates}, rank: {where}}}"
        options = [*_TWO, f"+objective.terms.poison={poison}", f"strategy={['fsdp2', 'ddp'][number % 2]}"]
        jobs = ranks(2, options, trial, trial / "logs")
        codes, said = wait_for_all(jobs, _PATIENCE), jobs[0].said()
        what = f"updates {updates} of rank {where}, {options[-1]}"
        kept = {path.name.partition("-rank")[0] for path in (trial / "runs/run/nonfinite").glob("iteration-*")}
        if any(codes) or said.count("was not finite, so the weights were not updated") != len(kept):
            return Outcome(Verdict.LOST, what, f"exit codes {codes}: {last_lines(said)}")
        state = state_of(max((trial / "runs/run/checkpoints").glob("iteration-*.ckpt")))
        fine = all(bool(torch.isfinite(value).all()) for value in state.values()) and len(kept) == len(updates)
        return Outcome(Verdict.SURVIVED if fine else Verdict.LOST, what, f"kept {sorted(kept)}")


def _copy(work: Path, trial: Path) -> tuple[Path, Path]:
    """A copy of the killed run, and its newest checkpoint."""
    run = trial / "runs/run"
    shutil.copytree(whole_and_killed(work)[1], run)
    return run, max(run.glob("checkpoints/iteration-*.ckpt"))


def _goes_on(work: Path, trial: Path, run: Path, what: str, *names: str) -> Outcome:
    jobs = ranks(2, ["run=runs/run"], trial, trial / "logs")
    codes, said = wait_for_all(jobs, _PATIENCE), jobs[0].said()
    if any(codes):
        told = None not in codes and named(said, *names)
        return Outcome(Verdict.NAMED if told else Verdict.LOST, what, f"exit codes {codes}: {last_lines(said)}")
    wrong = difference(whole_and_killed(work)[0], run)
    return Outcome(Verdict.LOST if wrong else Verdict.SURVIVED, what, wrong or last_lines(said, 1))
