"""One progress bar over the iterations, with the numbers one looks at; plain lines where there is no terminal."""

from __future__ import annotations

from typing import cast

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from kairos.core.types import PromptBatch
from kairos.train.grpo import GRPOModule


class ProgressBar(Callback):
    """Shows `shown` metrics beside the bar; without a terminal one line every `every` iterations."""

    def __init__(self, shown: tuple[str, ...] = ("reward/total", "val/miou", "rollout/length"), every: int = 5) -> None:
        self.shown, self.every = tuple(shown), every
        self._bar: Progress | None = None
        self._latest: dict[str, float] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = cast("GRPOModule", pl_module)
        self._console = Console(stderr=True)
        if trainer.is_global_zero and self._console.is_terminal:
            columns = (
                TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
                TextColumn("{task.fields[numbers]}"),
            )  # fmt: skip
            self._bar = Progress(*columns, console=self._console)
            self._bar.start()
            self._task = self._bar.add_task("training", total=module.iterations, completed=module.iteration, numbers="")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: PromptBatch, batch_idx: int
    ) -> None:
        module = cast("GRPOModule", pl_module)
        self._latest |= {name: module.metrics[name] for name in self.shown if name in module.metrics}
        numbers = "  ".join(f"{name} {value:.3f}" for name, value in self._latest.items())
        if self._bar is not None:
            self._bar.update(self._task, completed=module.iteration, numbers=numbers)
        elif trainer.is_global_zero and (module.iteration % self.every == 0 or module.iteration == module.iterations):
            self._console.print(f"iteration {module.iteration}/{module.iterations}  {numbers}", highlight=False)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
