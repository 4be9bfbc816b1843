"""A StopIteration anywhere in a step ends the run with an error that says where; so does a reward that is no number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import lightning as L
import pytest
import torch
from helpers.running import TOY, rows
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from kairos.cli import UserError, user_errors
from kairos.compose import train
from kairos.core.protocols import Shape
from kairos.core.types import Prompt, PromptBatch, Rollout, RolloutGroup, Sampling, Target, VideoClip
from kairos.credit.advantages import GroupNormalized, PerGroup
from kairos.credit.rewards.rubric import RewardError, Rubric, Weighted
from kairos.data.toy import ToyGrounding
from kairos.runs.folder import RunError, RunFolder
from kairos.train.grpo import GRPOModule


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found_nothing() -> float:
    return next(number for number in (1.0, 2.0) if number > 2.0)


class Term:
    def __call__(self, group: RolloutGroup) -> Tensor:
        return torch.full((len(group),), found_nothing())


class BrokenShape:
    def __call__(self, values_G: Tensor) -> Tensor:
        return values_G * found_nothing()


class BrokenAdvantage:
    def __call__(self, rewards: list[Tensor], on_policy: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        found_nothing()
        return PerGroup(GroupNormalized())(rewards, on_policy)


class BrokenInjection:
    def sampled(self, group_size: int) -> int:
        return group_size

    def __call__(self, group: RolloutGroup) -> RolloutGroup:
        found_nothing()
        return group


class BrokenGate:
    def __call__(self, rewards_G: Tensor, on_policy_G: Tensor) -> float:
        return found_nothing()


class BrokenEngine:
    asks_policy = True

    def setup(self, device: torch.device) -> None: ...

    def sync(self, policy: object) -> None: ...

    def release(self) -> None: ...

    def generate(self, prompts: object, group_size: int, sampling: Sampling, seed: int) -> list[RolloutGroup]:
        found_nothing()
        return []


class BrokenCallback(Callback):
    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        found_nothing()


class BrokenData(ToyGrounding):
    def __getitem__(self, index: int):
        found_nothing()
        return super().__getitem__(index)


BROKEN = {
    "reward.terms.iou.term": ("Term", "reward term 'iou' failed on prompt 'toy/train-0/"),
    "reward.terms.iou.shape": (
        "BrokenShape",
        "the shape .*BrokenShape.* of reward term 'iou' failed on prompt 'toy/tra",
    ),
    "module.advantage": ("BrokenAdvantage", ""),
    "module.injection": ("BrokenInjection", ""),
    "module.gate": ("BrokenGate", ""),
    "module.engine.engine": ("BrokenEngine", ""),
    "+callbacks.mine": ("BrokenCallback", ""),
    "datamodule.train": ("BrokenData", ""),
}


@pytest.mark.parametrize(("slot", "workers"), [*((slot, 0) for slot in BROKEN), ("datamodule.train", 1)])
def test_a_stop_iteration_in_any_part_of_a_step_is_an_error_that_names_its_place(slot: str, workers: int):
    name, said = BROKEN[slot]
    target = f"_target_: {__name__}.{name}" + (", _partial_: true" if name == "BrokenData" else "")
    with (
        pytest.raises(UserError, match=rf"(?s){said}.*found_nothing \(.*{__name__}.py, line \d+\)") as caught,
        user_errors(),
    ):
        train([*TOY, "name=a", "iterations=3", f"workers={workers}", f"{slot}={{{target}}}"])
    assert "StopIteration" in str(caught.value)
    assert not RunFolder(Path("runs/a")).finished


class EndsEarly(Callback):
    """Ends Lightning's loop as a swallowed error would."""

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, batch_idx: int
    ) -> None:
        if batch_idx == 1:
            raise StopIteration


def test_a_run_that_ended_early_is_not_finished():
    with pytest.raises(RunError, match=r"the training ended after iteration 1 of 3 and nothing says why"):
        train([*TOY, "name=a", "iterations=3", f"+callbacks.ends={{_target_: {__name__}.EndsEarly}}"])
    assert not RunFolder(Path("runs/a")).finished


def test_a_run_that_early_stopping_ends_is_finished():
    early = ["callbacks=early_stop", "callbacks.early_stop.patience=1", "callbacks.validation.every=1"]
    train([*TOY, "name=a", "iterations=9", "optimizer.learning_rate=0", *early])
    assert RunFolder(Path("runs/a")).finished
    assert len(rows(Path("runs/a/metrics.jsonl"))) < 9


@dataclass(frozen=True)
class Logarithm:
    def __call__(self, values_G: Tensor) -> Tensor:
        return torch.log(values_G)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (
            Logarithm(),
            r"the shape Logarithm\(\) of reward term 'iou' failed on prompt 'uid-7': it returned -inf for 0.0",
        ),
        (
            lambda values_G: values_G.sum(),
            r"of reward term 'iou' failed on prompt 'uid-7': it returned shape \(\) for 2",
        ),
        (lambda values_G: values_G * torch.nan, r"it returned nan for 1.0\ncompletion: first"),
        (lambda values_G: values_G / {}["scale"], r"KeyError: 'scale'\nof the raw rewards \[1.0, 0.0\]"),
    ],
)
def test_a_shape_that_returns_no_rewards_is_named_with_its_prompt_and_the_value(shape: Shape, said: str):
    clip = VideoClip("clip", None, torch.arange(30) * 1.0, 30.0)
    prompt = Prompt("uid-7", "grounding", "test", clip, "when?", Target())
    group = RolloutGroup(prompt, (Rollout("first", None), Rollout("second", None)))
    with pytest.raises(RewardError, match=said) as caught:
        Rubric({"iou": Weighted(lambda group: torch.tensor([1.0, 0.0]), shape=shape)})(group)
    assert (caught.value.uid, caught.value.term) == ("uid-7", "iou") and caught.value.part
