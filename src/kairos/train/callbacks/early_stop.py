"""Stops a run when validation no longer improves."""

from __future__ import annotations

from lightning.pytorch.callbacks import Callback

from kairos.core.types import PromptBatch
from kairos.train.grpo import GRPOModule
from kairos.train.iteration import Turn


class EarlyStop(Callback):
    """Stop after `patience` validations without a rise of `monitor` by more than `minimum`."""

    turn = Turn.READ

    def __init__(self, monitor: str = "val/miou", patience: int = 5, minimum: float = 0.0) -> None:
        if patience < 1:
            raise ValueError(f"callbacks.early_stop.patience must be >= 1, got {patience}")
        self.monitor, self.patience, self.minimum = monitor, patience, minimum
        self.best, self.waited = float("-inf"), 0

    def state_dict(self) -> dict[str, object]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.best, self.waited = state_dict["best"], int(state_dict["waited"])

    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        value = module.metrics.get(self.monitor)
        if value is None:
            return
        self.waited = 0 if value > self.best + self.minimum else self.waited + 1
        self.best = max(self.best, value)
        if self.waited >= self.patience:
            module.trainer.should_stop = True
