"""Saves checkpoints between iterations, atomically, and removes old ones."""

from __future__ import annotations

from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from kairos.core.types import PromptBatch
from kairos.runs.folder import RunError
from kairos.train.grpo import GRPOModule
from kairos.train.iteration import Turn

KEEP = ("last", "best", "all")


class SaveEvery(Callback):
    """A checkpoint after every `every` iterations and after the last one.

    `keep`: "last", "best" (the newest, and the one with the highest `monitor`) or "all". `weights_only` omits the
    optimiser: another run can start from such a checkpoint, but this run cannot resume.
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
                for older in Path(self.folder).glob("iteration-*.ckpt"):
                    if older != path:
                        older.unlink()

    def _save(self, trainer: L.Trainer, name: str) -> Path:
        path = Path(self.folder) / name
        unfinished = path.with_suffix(".unfinished")
        trainer.save_checkpoint(unfinished, weights_only=self.weights_only)
        if trainer.is_global_zero:
            unfinished.replace(path)
        trainer.strategy.barrier("checkpoint")
        return path


def restore(module: L.LightningModule, run: Path, purpose: str) -> None:
    """Load the weights of the run's newest checkpoint into `module`. RunError, with the `purpose`, without one."""
    checkpoint = newest(run / "checkpoints")
    if checkpoint is None:
        raise RunError(f"run={run} has no checkpoint yet: nothing to {purpose}")
    module.load_state_dict(torch.load(checkpoint, map_location=module.device, weights_only=True)["state_dict"])


def newest(folder: Path) -> Path | None:
    """The checkpoint of the latest iteration, or None. ValueError if it holds weights only."""
    path = max(folder.glob("iteration-*.ckpt"), default=None)
    if path is not None and "optimizer_states" not in torch.load(path, "cpu", weights_only=True, mmap=True):
        raise ValueError(
            f"{path} holds weights only (callbacks.checkpoint.weights_only=true), so the run cannot be continued: "
            f"start another from it with policy.weights={path} name=..., or say overwrite=true"
        )
    return path
