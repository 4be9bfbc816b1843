"""Evaluates whole splits before the first iteration and after the last."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback

from kairos.data.dataset import size_of
from kairos.data.templates.schedule import schedule_of
from kairos.evaluation.metrics import Share, standard
from kairos.evaluation.predictions import write
from kairos.evaluation.scores import scored
from kairos.train.callbacks.fitted import data_of, module_of
from kairos.train.callbacks.validation import predict
from kairos.train.feed.datamodule import PromptDataModule

WHEN = ("both", "after", "none")


class BeforeAfter(Callback):
    """Writes predictions before.jsonl and after.jsonl below `folder` for the first `count` prompts (None: all).

    `when` is "both", "after" or "none"; None means both if there are at most `small` prompts, and otherwise none, which
    a line on stderr says. `size` prompts are answered at once. Under a template schedule this is its first phase; with
    `every_phase` the other phases are written to `with_<name>/`. Predictions are scored by `metrics`, by default the
    standard ones.
    """

    def __init__(
        self,
        folder: str,
        when: str | None = None,
        small: int = 400,
        split: str = "val",
        count: int | None = None,
        size: int = 64,
        every_phase: bool = True,
        metrics: Mapping[str, Share] | None = None,
    ) -> None:
        if when is not None and when not in WHEN:
            raise ValueError(f"evaluate must be both, after, none or null (both where there is little), got {when!r}")
        self.folder, self.when, self.small = Path(folder), when, small
        self.split, self.count, self.size, self.every_phase = split, count, size, every_phase
        self.metrics = standard() if metrics is None else metrics

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        begins = module_of(pl_module).iteration == 0
        when = self._decided(trainer)
        if when == "none" and self.when is None and begins and trainer.is_global_zero:
            print(
                f"not evaluated before and after: {self.split} has more than {self.small} prompts; evaluate=both, or "
                "scripts/evaluate.py afterwards, evaluates it",
                file=sys.stderr,
            )
        if when == "both" and begins:
            self._predict(trainer, pl_module, "before.jsonl")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._decided(trainer) != "none":
            self._predict(trainer, pl_module, "after.jsonl")

    def _decided(self, trainer: L.Trainer) -> str:
        """`when`, and where that is None what the number of prompts decides."""
        if self.when is not None:
            return self.when
        prompts = size_of(data_of(trainer).dataset(self.split))
        return "both" if min(prompts, self.count or prompts) <= self.small else "none"

    def _predict(self, trainer: L.Trainer, pl_module: L.LightningModule, name: str) -> None:
        datamodule = data_of(trainer)
        for phase, folder in enumerate(self._folders(datamodule)):
            label = " ".join(["answering", self.split, *folder.relative_to(self.folder).parts, name.partition(".")[0]])
            predictions = predict(
                module_of(pl_module), datamodule, self.split, self.count, self.size, phase, label=label
            )
            if trainer.is_global_zero:
                write(scored(predictions, self.metrics), folder / name)

    def _folders(self, datamodule: PromptDataModule) -> list[Path]:
        schedule = schedule_of(datamodule.dataset(self.split))
        others = schedule.names[1:] if schedule is not None and self.every_phase else []
        return [self.folder, *(self.folder / f"with_{name}" for name in others)]


class Probes(Callback):
    """Answers every probe (config group `probes`) after the last iteration: `<folder>/<probe>/after.jsonl`.

    `max_actions`: the most tokens of an answer (None: as in training), for longer answers than in training.
    """

    def __init__(
        self,
        folder: str,
        size: int = 64,
        max_actions: int | None = None,
        metrics: Mapping[str, Share] | None = None,
    ) -> None:
        self.folder, self.size, self.max_actions = Path(folder), size, max_actions
        self.metrics = standard() if metrics is None else metrics

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = module_of(pl_module)
        datamodule = data_of(trainer)
        for probe in datamodule.probes:
            predictions = predict(
                module, datamodule, probe, None, self.size, max_actions=self.max_actions, label=f"answering {probe}"
            )
            if trainer.is_global_zero:
                write(scored(predictions, self.metrics), self.folder / probe / "after.jsonl")
