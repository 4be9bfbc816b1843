"""Supervised first, reinforcement after: two commands, the second starting from the folder of the first."""

from __future__ import annotations

from pathlib import Path

import torch
from helpers.running import TINY, curve

from kairos.compose import build, resolved, wording
from kairos.runs.folder import RunFolder
from kairos.train.grpo import GRPOModule


def train(*overrides: str) -> GRPOModule:
    built = build([
        "data=mini", "frames=mini", "template=think", "data.clips=2", "data.val_clips=1", "trainer=cpu", "prompts=2",
        "sampling.max_actions=6", "iterations=2", "evaluate=none", "callbacks.validation=null",
        "callbacks.progress=null", *overrides,
    ])  # fmt: skip
    RunFolder(built.folder).begin(resolved(built.config), [], "", wording=wording(built.config))
    built.trainer.fit(built.module, built.datamodule)
    return built.module


def test_a_policy_taught_by_answers_goes_on_by_reward(workplace: Path):
    taught = train(*TINY, "name=sft", "method=sft", "optimizer=cosine", "optimizer.learning_rate=0.01").policy
    module = train(
        "policy=mini", "name=rl", "policy.weights=runs/sft", "method=timezero", "template=think",
        "sampling.group_size=2", "sampling.max_actions=6", "optimizer.learning_rate=0",
    )  # fmt: skip
    end, goes_on = taught.state_dict(), module.policy.state_dict()
    assert end.keys() == goes_on.keys()
    assert all(torch.equal(end[name].bfloat16().float(), goes_on[name]) for name in end), "where the first one ended"
    assert list(module.references) == ["start"]
    folder = workplace / "runs"
    assert len(curve(folder / "sft", "objective/imitation")) == 2 and not curve(folder / "sft", "reward/total")
    assert len(curve(folder / "rl", "reward/total")) == 2 and not curve(folder / "rl", "objective/imitation")
