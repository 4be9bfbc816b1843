"""Refuses a run that will not fit, before its weights are downloaded."""

from __future__ import annotations

from typing import Literal

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import ModelParallelStrategy

from kairos.policy.memory.advice import table
from kairos.policy.memory.estimate import GIB
from kairos.train.devices.ranks import main_process
from kairos.train.devices.strategies import alone
from kairos.train.feed.datamodule import PromptDataModule
from kairos.train.grpo import GRPOModule
from kairos.train.memory_plan import memory_of, plan_of
from kairos.video.budget import PixelBudget


class MemoryCheck(Callback):
    """Compares the estimate of one device's memory with what it has, or with `gib`, at the start of a fit.

    `check`: "refuse" raises a ValueError with the parts and the levers, "warn" prints them, "off" does nothing.
    Policies whose sizes are not configured (the mini base, the toy) are let through without a look.
    """

    def __init__(
        self, budget: PixelBudget, check: Literal["refuse", "warn", "off"] = "refuse", gib: float | None = None
    ) -> None:
        if check not in ("refuse", "warn", "off"):
            raise ValueError(f"memory_check must be refuse, warn or off, got {check!r}")
        self.budget, self.check, self.gib = budget, check, gib

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        del stage
        if self.check == "off" or not isinstance(pl_module, GRPOModule):
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        prompts = data.prompts if isinstance(data, PromptDataModule) else 1
        gpu = trainer.strategy.root_device.type == "cuda"
        shards = trainer.world_size if isinstance(trainer.strategy, ModelParallelStrategy) else 1
        plan = plan_of(pl_module, self.budget, prompts, shards, gpu, alone(trainer.strategy))
        if plan is None:
            return
        there = self.gib * GIB if self.gib else memory_of(gpu, trainer.strategy.root_device.index or 0)
        if plan.need <= there:
            return
        text = table("this run", plan, limit=there)
        if self.check == "refuse":
            raise ValueError(f"it will not fit. {text}\n  memory_check=warn tries it all the same")
        if main_process():
            print(text)
