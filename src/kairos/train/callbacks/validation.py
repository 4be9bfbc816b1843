"""Validates during training: answers a fixed subset of the validation prompts greedily."""

from __future__ import annotations

import time
from collections.abc import Mapping

from lightning.pytorch.callbacks import Callback

from kairos.core.protocols import RolloutEngine
from kairos.core.types import PromptBatch, Sampling
from kairos.data.dataset import PromptDataset, size_of
from kairos.data.templates.schedule import in_phase, schedule_of
from kairos.evaluation.metrics import Share, standard
from kairos.evaluation.predictions import Prediction, answer, complete
from kairos.evaluation.scores import means, scored
from kairos.progress import showing_progress
from kairos.rollout.live import Live
from kairos.train.callbacks.fitted import data_of
from kairos.train.devices import ranks, sharding
from kairos.train.feed.datamodule import PromptDataModule
from kairos.train.grpo import GRPOModule


class Validation(Callback):
    """Answers the first `count` prompts of `split` at temperature 0 every `every` iterations (0: never).

    Uses the run's engine if that samples from the policy, else a live engine, so that annotations are never validated
    against themselves. Under a template schedule `val/...` is its first phase; with `every_phase` the other phases are
    logged as `val_with_<name>/...`. `metrics` by logged name; by default the standard ones.
    """

    def __init__(
        self,
        every: int = 10,
        count: int = 64,
        split: str = "val",
        every_phase: bool = True,
        metrics: Mapping[str, Share] | None = None,
    ) -> None:
        self.every, self.count, self.split, self.every_phase = every, count, split, every_phase
        self.metrics = standard() if metrics is None else metrics

    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        if self.every and module.iteration % self.every == 0:
            started = time.perf_counter()
            datamodule = data_of(module.trainer)
            for phase, name in enumerate(self._names(datamodule)):
                predictions = predict(module, datamodule, self.split, self.count, phase=phase)
                module.metrics |= measured(scored(predictions, self.metrics), name)
            module.metrics["time/validation"] = time.perf_counter() - started

    def _names(self, datamodule: PromptDataModule) -> list[str]:
        schedule = schedule_of(datamodule.dataset(self.split))
        others = schedule.names[1:] if schedule is not None and self.every_phase else []
        return ["val", *(f"val_with_{name}" for name in others)]


def measured(predictions: list[Prediction], name: str = "val") -> dict[str, float]:
    """`val/<metric>` over all predictions, and `val_<task>/<metric>` if there are several tasks."""
    tasks = {prediction.task for prediction in predictions}
    parts = {name: predictions}
    if len(tasks) > 1:
        parts |= {f"{name}_{task}": [p for p in predictions if p.task == task] for task in sorted(tasks)}
    return {f"{part}/{score}": value for part, rows in parts.items() for score, value in means(rows).items()}


def greedy_engine(engine: RolloutEngine) -> RolloutEngine:
    """The engine for validation and evaluation: the given one if it samples from the policy, else a live one."""
    return engine if engine.asks_policy else Live()


def predict(
    module: GRPOModule,
    datamodule: PromptDataModule,
    split: str,
    count: int | None,
    size: int | None = None,
    phase: int = 0,
    max_actions: int | None = None,
    label: str | None = None,
) -> list[Prediction]:
    """All ranks' predictions for the first `count` prompts of a split, in the order of the split.

    Failed prompts are included, with their task if the data set has records. `phase`: of the template schedule.
    `max_actions`: the most tokens of an answer, by default as in training. `label`: what the main process shows its
    progress as; None shows nothing.
    """
    engine = greedy_engine(module.engine)
    engine.setup(module.device)
    longest = module.sampling.max_actions if max_actions is None else max_actions
    greedy = Sampling(temperature=0.0, max_actions=longest, group_size=1)
    shown = label is not None and ranks.main_process()
    counting = showing_progress(label or "", _of_this_rank(datamodule, split, count) if shown else 0, shown=shown)
    with sharding.gathered(module.policy), counting as advance:
        engine.sync(module.trained)
        mine = answer(engine, datamodule.batches(split, count, size, phase=phase), greedy, progress=advance)
        engine.release()
    everyone = ranks.gather(list(enumerate(mine)))
    predictions = [prediction for _, prediction in sorted(everyone, key=lambda pair: pair[0])]
    dataset = in_phase(datamodule.dataset(split), phase)
    if not isinstance(dataset, PromptDataset):
        return predictions
    many = dataset.template is not None and dataset.template.grammar.many
    return complete(predictions, dataset.records[:count], many)


def _of_this_rank(datamodule: PromptDataModule, split: str, count: int | None) -> int:
    """How many of the first `count` prompts of a split this rank answers."""
    prompts = size_of(datamodule.dataset(split))
    return len(range(ranks.rank(), prompts if count is None else min(count, prompts), ranks.world()))
