"""Refuses a run that will not fit into memory before loading its weights, and gives advice after running out of it."""

from __future__ import annotations

from typing import Literal

import lightning as L
from lightning.pytorch.callbacks import Callback

from kairos.core.out_of_memory import OutOfMemory
from kairos.policy.memory.advice import advice, table
from kairos.policy.memory.candidate import Candidate
from kairos.policy.memory.estimate import GIB
from kairos.policy.memory.savings import WAYS_OUT
from kairos.train.devices.fsdp2 import FSDP2
from kairos.train.devices.ranks import main_process
from kairos.train.devices.strategies import alone
from kairos.train.feed.datamodule import PromptDataModule
from kairos.train.grpo import GRPOModule
from kairos.train.memory_plan import candidate_of, memory_of
from kairos.video.budget import PixelBudget


class MemoryCheck(Callback):
    """At the start of a fit, compares the estimated memory need of one device with its memory, or with `gib`.

    `check`: "refuse" raises a ValueError with the estimate and the advice, "warn" prints them, "off" does nothing. It
    counts weights and moments as the device's: where these are offloaded to the host, "refuse" only prints.
    Policies of unknown sizes (the mini base, the toy) are not checked. A fit that runs out of memory fails with the
    advice for this run, or with all general advice if no estimate can be made.
    """

    def __init__(
        self, budget: PixelBudget, check: Literal["refuse", "warn", "off"] = "refuse", gib: float | None = None
    ) -> None:
        if check not in ("refuse", "warn", "off"):
            raise ValueError(f"memory_check must be refuse, warn or off, got {check!r}")
        self.budget, self.check, self.gib = budget, check, gib

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        del stage
        configured = None if self.check == "off" else self._configured(trainer, pl_module)
        if configured is None:
            return
        device = trainer.strategy.root_device
        limit = self.gib * GIB if self.gib else memory_of(device.type == "cuda", device.index or 0)
        if configured.need <= limit:
            return
        text = table("this run", configured, limit)
        offloads = isinstance(trainer.strategy, FSDP2) and trainer.strategy.offload  # the estimate knows nothing of it
        if self.check == "refuse" and not offloads:
            raise ValueError(f"it will not fit. {text}\n  memory_check=warn tries it all the same")
        if main_process():
            print(text)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if isinstance(exception, OutOfMemory):
            configured = self._configured(trainer, pl_module)
            if configured is None or not advice(configured):
                exception.advice = WAYS_OUT
            else:
                exception.advice = table("this run", configured, limit=None)

    def _configured(self, trainer: L.Trainer, module: L.LightningModule) -> Candidate | None:
        """The run as the trainer will execute it; None if its memory cannot be estimated."""
        if not isinstance(module, GRPOModule):
            return None
        data, strategy = getattr(trainer, "datamodule", None), trainer.strategy
        prompts = data.prompts if isinstance(data, PromptDataModule) else 1
        shards = strategy.shards if isinstance(strategy, FSDP2) else 1
        gpu = strategy.root_device.type == "cuda"
        return candidate_of(module, self.budget, prompts, shards, gpu, alone(strategy))
