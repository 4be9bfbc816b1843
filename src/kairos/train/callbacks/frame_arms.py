"""Compares ways of choosing frames after training: each arm chooses as many frames, and a frozen answerer answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from kairos.core.protocols import Answerer, FrameSampler
from kairos.core.types import Failure, Prompt, Rollout
from kairos.data.dataset import records_of
from kairos.evaluation.metrics import Share, standard
from kairos.evaluation.predictions import Prediction, complete, predict, unanswered, write
from kairos.evaluation.scores import scored
from kairos.rollout.frame_sets import replies_to, with_reply
from kairos.train.callbacks.fitted import data_of, module_of
from kairos.train.devices import ranks
from kairos.train.feed.datamodule import PromptDataModule
from kairos.train.grpo import GRPOModule
from kairos.video.samplers.scores import FrameScores

SamplerByScores = Callable[[FrameScores], FrameSampler]
"""Builds a sampler that follows given scores, such as `TopK`."""


@runtime_checkable
class ScoresFrames(Protocol):
    """A policy that scores the frames of prompts' clips: [T] each."""

    def scores_of_prompts(self, prompts: Sequence[Prompt]) -> list[Tensor]: ...


@dataclass(frozen=True)
class Given:
    """Scores of one prompt's frames that were computed before: a `FrameScores` for that prompt."""

    scores_T: Tensor

    def __call__(self, prompt: Prompt) -> Tensor:
        del prompt
        return self.scores_T


@runtime_checkable
class HasAnswerer(Protocol):
    """An engine with a frozen answerer."""

    @property
    def answerer(self) -> Answerer: ...


@dataclass(frozen=True)
class ArmName:
    """What answers are of, by which their folder is named: `<probe>_<arm>_<frames>`, `_<answerer>` behind it."""

    probe: str
    arm: str
    frames: int
    answerer: str = ""
    """Empty: the engine's own."""

    def __str__(self) -> str:
        return "_".join([self.probe, self.arm, str(self.frames), *([self.answerer] if self.answerer else [])])


class FrameArms(Callback):
    """Answers every probe (config group `probes`) after the last iteration, once for each arm and number of frames K.

    Writes `<folder>/<probe>_<arm>_<K>/after.jsonl`. `untrained` are samplers by name; `trained` builds samplers, by
    name, from the scores of the trained policy. All arms show min(K, T) frames. The engine's
    answerer answers; further `answerers`, by name, are asked the same: `..._<answerer>/after.jsonl`. `size` prompts are
    loaded at once. Predictions are scored by `metrics`, by default the standard ones.

    ValueError for a number of frames below 1, an arm named twice or with an underscore, a policy that scores no frames,
    or an engine without an answerer.
    """

    def __init__(
        self,
        folder: str,
        untrained: Mapping[str, FrameSampler],
        trained: Mapping[str, SamplerByScores],
        frames: Sequence[int],
        answerers: Mapping[str, Answerer | None] | None = None,
        size: int = 64,
        metrics: Mapping[str, Share] | None = None,
    ) -> None:
        if not frames or min(frames) < 1:
            raise ValueError(f"frame_arms.frames must be numbers of frames >= 1, got {list(frames)}")
        if both := set(untrained) & set(trained):
            raise ValueError(f"frame_arms names {', '.join(sorted(both))} among its untrained and its trained arms")
        if unclear := [name for name in (*untrained, *trained, *(answerers or {})) if "_" in name]:
            raise ValueError(
                f"frame_arms: name arms and answerers without '_', which parts them in a file's name: {unclear}"
            )
        self.folder, self.untrained, self.trained = Path(folder), dict(untrained), dict(trained)
        self.frames, self.size = tuple(frames), size
        self.answerers = {name: other for name, other in (answerers or {}).items() if other is not None}
        self.metrics = standard() if metrics is None else metrics

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Says before training what would be wrong after it; so the further answerers are loaded now, on the CPU."""
        del trainer
        module = module_of(pl_module)
        _answerer_of(module)
        for answerer in self.answerers.values():
            answerer.build()
        if self.trained:
            _scorer_of(module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module, datamodule = module_of(pl_module), data_of(trainer)
        answerers = {"": _answerer_of(module)}
        for name, answerer in self.answerers.items():
            answerer.to(module.device)
            answerers[name] = answerer
        for probe in datamodule.probes:
            for asked, predictions in self._answered(module, datamodule, probe, answerers).items():
                if trainer.is_global_zero:
                    write(scored(predictions, self.metrics), self.folder / str(asked) / "after.jsonl")

    def _samplers(self, module: GRPOModule, prompts: Sequence[Prompt]) -> list[dict[str, FrameSampler]]:
        """The arms of each prompt; the policy scores all prompts' frames at once, for all its arms."""
        if not self.trained:
            return [self.untrained] * len(prompts)
        every = [Given(scores_T.cpu()) for scores_T in _scorer_of(module).scores_of_prompts(prompts)]
        return [self.untrained | {name: build(given) for name, build in self.trained.items()} for given in every]

    @torch.no_grad()
    def _answered(
        self,
        module: GRPOModule,
        datamodule: PromptDataModule,
        probe: str,
        answerers: Mapping[str, Answerer],
    ) -> dict[ArmName, list[Prediction]]:
        """All ranks' predictions, in the order of the probe."""
        arms = [(arm, count) for arm in (*self.untrained, *self.trained) for count in self.frames]
        mine: dict[ArmName, list[Prediction]] = defaultdict(list)
        for batch in datamodule.batches(probe, None, self.size):
            pairs = zip(batch.prompts, batch.weights_P.tolist(), strict=True)
            prompts = [prompt for prompt, weight in pairs if weight > 0]
            chosen = [
                [_chosen(samplers, prompt, *arm) for arm in arms]
                for prompt, samplers in zip(prompts, self._samplers(module, prompts), strict=True)
            ]
            for name, answerer in answerers.items():
                told = list(zip(prompts, chosen, replies_to(answerer, prompts, chosen), strict=True))
                for number, (arm, count) in enumerate(arms):
                    rows = [
                        predict(prompt, with_reply(Rollout("", None, chosen_K=sets[number]), replies[number]))
                        for prompt, sets, replies in told
                    ]
                    mine[ArmName(probe, arm, count, name)] += rows + [_failed(failure) for failure in batch.failures]
        records = records_of(datamodule.dataset(probe))
        return {
            asked: complete(rows, records) if records else rows
            for asked, rows in ((ArmName(probe, *arm, name), ranks.gather(mine[ArmName(probe, *arm, name)]))
                                for name in answerers for arm in arms)
        }  # fmt: skip


def _chosen(samplers: Mapping[str, FrameSampler], prompt: Prompt, arm: str, count: int) -> Tensor:
    index_K = samplers[arm](prompt, count)
    if not len(index_K):
        raise ValueError(
            f"prompt {prompt.uid}: the arm {arm} chose none of {len(prompt.clip)} frames with frames={count}; "
            "lower the sampler's depth, or leave this number out"
        )
    return index_K


def _failed(failure: Failure) -> Prediction:
    return unanswered(failure.uid, f"failed: {failure.reason}")


def _scorer_of(module: GRPOModule) -> ScoresFrames:
    policy: object = module.policy
    if not isinstance(policy, ScoresFrames):
        raise ValueError(
            f"callbacks.frame_arms compares frames that the trained policy scores, and a {type(policy).__name__} "
            "scores none: take policy=frame_agent, or leave frame_arms.trained empty"
        )
    return policy


def _answerer_of(module: GRPOModule) -> Answerer:
    engine: object = module.engine
    if not isinstance(engine, HasAnswerer):
        raise ValueError(
            f"callbacks.frame_arms asks the engine's answerer, and {type(engine).__name__} has none: take "
            "rollout=frame_sets"
        )
    return engine.answerer
