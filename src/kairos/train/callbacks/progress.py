"""Shows a progress bar over the iterations with a few metrics; without a terminal plain lines."""

from __future__ import annotations

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from kairos.core.types import PromptBatch
from kairos.train.callbacks.fitted import module_of
from kairos.train.grpo import GRPOModule
from kairos.train.iteration import Turn


class ProgressBar(Callback):
    """Shows the metrics `shown` beside the bar; without a terminal, a line every `every` iterations.

    The bar ends with the last iteration: what is evaluated afterwards has a bar of its own.
    """

    turn = Turn.READ

    def __init__(self, shown: tuple[str, ...] = ("reward/total", "val/miou", "rollout/length"), every: int = 1) -> None:
        self.shown, self.every = tuple(shown), every
        self._bar: Progress | None = None
        self._latest: dict[str, float] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = module_of(pl_module)
        self._console = Console(stderr=True)
        if trainer.is_global_zero and self._console.is_terminal:
            columns = (
                TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
                TextColumn("{task.fields[numbers]}"),
            )  # fmt: skip
            self._bar = Progress(*columns, console=self._console)
            self._bar.start()
            self._task = self._bar.add_task("training", total=module.iterations, completed=module.iteration, numbers="")

    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        self._latest |= {name: module.metrics[name] for name in self.shown if name in module.metrics}
        due = module.iteration // self.every * self.every
        numbers = "  ".join(f"{name} {value:.3f}" for name, value in self._latest.items())
        if self._bar is not None:
            self._bar.update(self._task, completed=module.iteration, numbers=numbers)
        elif module.trainer.is_global_zero and module.iteration in (module.iterations, due):
            seconds = module.metrics.get("time/iteration", 0.0)
            line = f"iteration {module.iteration}/{module.iterations}  {seconds:.1f} s  {numbers}"
            self._console.print(line, highlight=False, soft_wrap=True)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
