"""Stops a run whose validation no longer improves."""

from __future__ import annotations

from typing import cast

import lightning as L
from lightning.pytorch.callbacks import Callback

from kairos.core.types import PromptBatch
from kairos.train.grpo import GRPOModule


class EarlyStop(Callback):
    """Stop after `patience` validations without a rise of `monitor` by more than `minimum`."""

    def __init__(self, monitor: str = "val/miou", patience: int = 5, minimum: float = 0.0) -> None:
        if patience < 1:
            raise ValueError(f"callbacks.early_stop.patience must be >= 1, got {patience}")
        self.monitor, self.patience, self.minimum = monitor, patience, minimum
        self.best, self.waited = float("-inf"), 0

    def state_dict(self) -> dict[str, object]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        self.best, self.waited = float(cast("float", state_dict["best"])), int(cast("int", state_dict["waited"]))

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: PromptBatch, batch_idx: int
    ) -> None:
        value = cast("GRPOModule", pl_module).metrics.get(self.monitor)
        if value is None:
            return
        self.waited = 0 if value > self.best + self.minimum else self.waited + 1
        self.best = max(self.best, value)
        if self.waited >= self.patience:
            trainer.should_stop = True
