"""Lets every rank say which other rank was lost, what it was doing and since when, and ends the run within a time."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from kairos.core.types import PromptBatch
from kairos.train.callbacks.fitted import module_of
from kairos.train.devices import ranks
from kairos.train.devices.standing import LOST, Standing, mine, read
from kairos.train.grpo import GRPOModule

_EVERY = 2.0  # seconds between two looks at the others
_NEARLY = 0.9  # of the time that a collective may take (timeout_minutes)
_COLLECTIVE = re.compile("timed? ?out|nccl|gloo|connection", re.IGNORECASE)
_AT_MOST = 60.0  # seconds that a rank has to notice by itself that another one's process is gone


class LostRank(SystemExit):
    """Another rank of the run was lost; the exit code is `LOST`, 76."""

    def __init__(self) -> None:
        super().__init__(LOST)


class WatchRanks(Callback):
    """Each of several ranks writes what it is doing to `folder`, and looks at the others.

    When a rank is killed, fails or is stopped, the others say which, in what and since when, and end with exit code 76:
    at once where a collective fails, a minute later where it hangs, and after `minutes` where the rank is only stopped.
    Of a rank on another host only the file is seen, which must lie on a disk of both: so a rank that has done the same
    thing for nearly `minutes`, after which its collective fails, says where all ranks stand. Nothing on one rank.
    """

    def __init__(self, folder: str, minutes: float = 30.0) -> None:
        if minutes <= 0:
            raise ValueError(f"timeout_minutes must be > 0, got {minutes}")
        self.parent = self.folder = Path(folder)
        self.seconds = 60 * minutes
        self._ended = threading.Event()
        self._procs: list[int] = []

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if ranks.world() == 1:
            return
        module = module_of(pl_module)
        self._rank, self._module, self._ended = ranks.rank(), module, threading.Event()
        self.folder = self.parent / _session()
        if self._rank == 0:
            for old in self.parent.glob("*"):
                if old != self.folder:
                    shutil.rmtree(old, ignore_errors=True)
        launcher = trainer.strategy.launcher
        self._procs = [each.pid for each in launcher.procs] if isinstance(launcher, _SubprocessScriptLauncher) else []
        module.meter.doing.told = self._write
        module.meter.doing.now("builds the model")
        threading.Thread(target=self._watch, name="watch-ranks", daemon=True).start()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module_of(pl_module).meter.doing.now("evaluates before the first iteration")

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: PromptBatch, batch_idx: int
    ) -> None:
        module_of(pl_module).meter.doing.now("has its prompts")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module_of(pl_module).meter.doing.now("evaluates and exports after the last iteration")

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._end(module_of(pl_module))

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if ranks.world() == 1:
            return
        module = module_of(pl_module)
        self._ended.set()
        if isinstance(exception, RuntimeError) and (lost := self._lost_within(5.0)):
            self._say(lost)
            self._kill_stopped()
            raise LostRank from exception
        if isinstance(exception, RuntimeError) and _COLLECTIVE.search(str(exception)):
            self._say_where(f"error: rank {self._rank} waited for the others in vain")
        words = f"{type(exception).__name__}: {str(exception).partition(chr(10))[0]}"
        mine(self._rank, module.meter.doing, module.iteration, words).write(self.folder)

    def _end(self, module: GRPOModule) -> None:
        self._ended.set()
        if module.meter.doing.told is not None:
            module.meter.doing.told = None
            (self.folder / f"{self._rank}.json").unlink(missing_ok=True)
            if self._rank == 0:
                shutil.rmtree(self.parent, ignore_errors=True)
            with suppress(OSError):  # not empty, or gone: whoever ends last leaves nothing
                self.folder.rmdir()
                self.parent.rmdir()

    def _write(self) -> None:
        mine(self._rank, self._module.meter.doing, self._module.iteration).write(self.folder)

    def _others(self) -> list[Standing]:
        return [standing for standing in read(self.folder) if standing.rank != self._rank]

    def _lost_within(self, seconds: float) -> list[Standing]:
        """The ranks that are lost; one that has just been killed needs a moment to be seen as such."""
        until = time.monotonic() + seconds
        while not (lost := [other for other in self._others() if other.lost]) and time.monotonic() < until:
            time.sleep(0.1)
        return lost

    def _watch(self) -> None:
        """Runs in a thread: ends this process where another rank has been lost for too long."""
        seen: dict[int, float] = {}
        said_of = 0.0
        while not self._ended.wait(_EVERY):
            lost = [other for other in self._others() if other.lost]
            doing, now = self._module.meter.doing, time.monotonic()
            if time.time() - doing.since > _NEARLY * self.seconds and doing.since != said_of:
                said_of = doing.since
                self._say_where(f"rank {self._rank} has done the same thing for as long as a collective may take")
            seen = {other.rank: seen.get(other.rank, now) for other in lost}
            overdue = [other for other in lost if now - seen[other.rank] >= self._limit(other)]
            if overdue:
                self._say(overdue)
                self._kill_stopped()
                os._exit(LOST)

    def _limit(self, other: Standing) -> float:
        return self.seconds if other.stopped else min(self.seconds, _AT_MOST)

    def _say(self, lost: list[Standing]) -> None:
        names = " and ".join(f"rank {other.rank}" for other in lost)
        self._say_where(f"error: rank {self._rank} waits for {names} in vain")

    def _say_where(self, why: str) -> None:
        lines = [f"{why}; where the ranks stood:"]
        lines += [f"  {standing}" for standing in read(self.folder)]
        lines += ["the run goes on from its last checkpoint when the command is repeated"]
        print("\n".join(lines), file=sys.stderr, flush=True)

    def _kill_stopped(self) -> None:
        """End the processes that this one started: a stopped one would never end by itself."""
        for pid in self._procs:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _session() -> str:
    """A name that the ranks of this start of the run share, and no earlier start has."""
    return f"{os.environ.get('MASTER_PORT', '')}-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
