"""Writes the metrics and rollouts of every iteration; a resumed run first truncates the files to its checkpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Protocol, runtime_checkable

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from kairos.core.seals import Seal
from kairos.core.types import PromptBatch
from kairos.runs.row_files import RowFile
from kairos.train.callbacks.fitted import module_of
from kairos.train.devices import ranks
from kairos.train.diagnostics import records
from kairos.train.grpo import GRPOModule
from kairos.train.iteration import Turn
from kairos.train.loggers import tell

METRICS, ROLLOUTS, FAILURES = "metrics.jsonl", "rollouts.jsonl", "failures.jsonl"


@runtime_checkable
class Counting(Protocol):
    """A policy or an engine with its own counts since the last call, such as runs of a vision tower."""

    def counted(self) -> Mapping[str, int]: ...


class RunLog(Callback):
    """Writes metrics.jsonl (a row for each iteration), rollouts.jsonl (a row for each rollout of every
    `rollouts_every`-th iteration) and failures.jsonl (uid and reason of each prompt that could not be used).

    Metrics that callbacks add in `after_iteration` are included. Rows are flushed before a checkpoint is saved. Other
    loggers (wandb) get the same numbers. A resumed run refuses files that are not what they were at its checkpoint;
    with `check` false it goes on with what can be read of them.
    """

    turn = Turn.READ

    def __init__(self, folder: str, rollouts_every: int = 1, check: bool = True) -> None:
        self.folder, self.rollouts_every, self.check = Path(folder), rollouts_every, check
        self._files = {name: RowFile(self.folder / name) for name in (METRICS, ROLLOUTS, FAILURES)}
        self._sealed: dict[str, Seal] = {}
        self._ended: float | None = None

    def state_dict(self) -> dict[str, dict[str, int]]:
        return {name: asdict(file.seal) for name, file in self._files.items()}

    def load_state_dict(self, state_dict: dict[str, dict[str, int]]) -> None:
        self._sealed = {name: Seal(**seal) for name, seal in state_dict.items()}

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, object]
    ) -> None:
        """Syncs the files first: a checkpoint may be younger on the disk than what it seals, but never older."""
        if trainer.is_global_zero:
            for file in self._files.values():
                file.sync()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Truncates the files here, because sharded strategies load the checkpoint only after `on_fit_start`."""
        if trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            iteration, every = module_of(pl_module).iteration, self.rollouts_every
            wanted = {
                METRICS: range(1, iteration + 1),
                ROLLOUTS: range(every, iteration + 1, every) if every else (),
                FAILURES: (),
            }
            for name, file in self._files.items():
                file.cut_back(iteration, self._sealed.pop(name, None), wanted[name], self.check)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: PromptBatch, batch_idx: int
    ) -> None:
        self._started = time.perf_counter()
        if self._ended is not None:
            module_of(pl_module).meter.add("time/wait_for_data", self._started - self._ended)

    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        trainer, seconds = module.trainer, time.perf_counter() - self._started
        due = self.rollouts_every and module.iteration % self.rollouts_every == 0
        rows = [row for group in module.credited for row in records(module.iteration, group)] if due else []
        everyone = ranks.gather(rows)
        failures = ranks.gather(
            [{"iteration": module.iteration, "uid": f.uid, "reason": f.reason} for f in batch.failures]
        )
        actions = 0.0 if module.rollouts is None else float(module.rollouts.mask_BA.sum())
        module.metrics["time/iteration"] = seconds
        module.metrics["throughput/prompts_per_second"] = len(batch) * ranks.world() / seconds
        module.metrics["throughput/actions_per_second"] = actions * ranks.world() / seconds
        if module.device.type == "cuda":
            peaks = ranks.gather([torch.cuda.max_memory_allocated(module.device) / 2**30])
            torch.cuda.reset_peak_memory_stats(module.device)
            module.metrics["throughput/peak_gib"] = max(peaks)  # of any device, in this iteration
        counted = [part.counted() for part in (module.policy, module.engine) if isinstance(part, Counting)]
        for counts in ranks.gather([batch.counts, *counted]):  # such as clips missed: they differ from run to run
            for name, count in counts.items():
                module.metrics[f"throughput/{name}"] = module.metrics.get(f"throughput/{name}", 0.0) + count
        if trainer.is_global_zero:
            self._files[ROLLOUTS].append(everyone)
            self._files[FAILURES].append(failures)
            self.write(trainer, module.iteration, module.metrics)
        self._ended = time.perf_counter()

    def write(self, trainer: L.Trainer, iteration: int, metrics: dict[str, float]) -> None:
        self._files[METRICS].append([{"iteration": iteration, **metrics}])
        tell(trainer.loggers, lambda logger: logger.log_metrics(metrics, step=iteration))
