"""Saves checkpoints between iterations, and removes old ones."""

from __future__ import annotations

from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback

from kairos.core.seals import remove
from kairos.core.types import PromptBatch
from kairos.policy.models.checkpoints import load, newest_checkpoint, newest_intact, state_of
from kairos.runs.folder import RunError
from kairos.train.devices.checkpoint_io import seal_checkpoints
from kairos.train.grpo import GRPOModule
from kairos.train.iteration import Turn

KEEP = ("last", "best", "all")


class SaveEvery(Callback):
    """A checkpoint after every `every` iterations and after the last one.

    `keep`: "last" (the newest and the one before it), "best" (these, and the one with the highest `monitor`) or "all".
    `weights_only` omits the optimiser: another run can start from such a checkpoint, but this run cannot resume.
    """

    turn = Turn.LAST

    def __init__(
        self, folder: str, every: int = 10, keep: str = "last", weights_only: bool = False, monitor: str = "val/miou"
    ) -> None:
        if keep not in KEEP:
            raise ValueError(f"callbacks.checkpoint.keep must be one of {', '.join(KEEP)}, got {keep!r}")
        if every < 1:
            raise ValueError(f"callbacks.checkpoint.every must be >= 1, got {every}")
        self.folder, self.every, self.keep, self.weights_only, self.monitor = folder, every, keep, weights_only, monitor
        self.best = float("-inf")

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        seal_checkpoints(trainer)

    def state_dict(self) -> dict[str, object]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.best = state_dict["best"]

    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        trainer = module.trainer
        value = module.metrics.get(self.monitor)
        best = self.keep == "best" and value is not None and value > self.best
        if best and value is not None:
            self.best = value
        if best:
            self._save(trainer, "best.ckpt")
        if module.iteration % self.every == 0 or module.iteration == module.iterations or trainer.should_stop:
            path = self._save(trainer, f"iteration-{module.iteration:06d}.ckpt")
            if self.keep != "all" and trainer.is_global_zero:
                self._remove_others(path)

    def _save(self, trainer: L.Trainer, name: str) -> Path:
        path = Path(self.folder) / name
        trainer.save_checkpoint(path, weights_only=self.weights_only)
        return path

    def _remove_others(self, newest: Path) -> None:
        """Keep the newest and the one before it: if the newest is found broken later, the run goes on from the other.

        Checkpoints of later iterations can only be broken ones, which this run passed over when it resumed.
        """
        saved = sorted(newest.parent.glob("iteration-*.ckpt"))
        place = saved.index(newest)
        for other in [*saved[: max(0, place - 1)], *saved[place + 1 :]]:
            remove(other)


def restore(module: L.LightningModule, run: Path, purpose: str) -> None:
    """Load the weights of the run's newest checkpoint into `module`. RunError, with the `purpose`, without one."""
    checkpoint = newest_checkpoint(run)
    if checkpoint is None:
        raise RunError(f"run={run} has no checkpoint yet: nothing to {purpose}")
    module.load_state_dict(state_of(checkpoint))


def newest(folder: Path) -> Path | None:
    """The newest intact checkpoint that a run can go on from, or None. ValueError if it holds weights only."""
    path = newest_intact(folder).path
    if path is not None and "optimizer_states" not in load(path):
        raise ValueError(
            f"{path} holds weights only (callbacks.checkpoint.weights_only=true), so the run cannot be continued: "
            f"start another from it with policy.weights={path} name=..., or say overwrite=true"
        )
    return path
