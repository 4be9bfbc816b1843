"""A new run starts from the weights of another: its folder, its exported model, or one of its checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.running import TINY, curve

from kairos.compose import build, resolved, wording
from kairos.policy.language import LanguagePolicy
from kairos.runs.folder import RunFolder
from kairos.train.grpo import GRPOModule

WORLD = [
    "data=mini", "frames=mini", "template=answer", "data.clips=2", "data.val_clips=1", "trainer=cpu", "prompts=2",
    "sampling.max_actions=4", "iterations=1", "optimizer.learning_rate=0.01",
    "evaluate=none", "callbacks.validation=null", "callbacks.progress=null", "method=sft",
    "policy.freeze=[vision]",
]  # fmt: skip


def train(*overrides: str) -> GRPOModule:
    built = build([*WORLD, *overrides])
    RunFolder(built.folder).begin(resolved(built.config), [], "", wording=wording(built.config))
    built.trainer.fit(built.module, built.datamodule)
    return built.module


def loaded(weights: str) -> dict[str, torch.Tensor]:
    built = build([*WORLD, "policy=mini", f"policy.weights={weights}", "name=new"])
    built.module.configure_model()
    assert isinstance(built.module.policy, LanguagePolicy)
    return built.module.policy.state_dict()


def test_a_run_starts_from_the_weights_of_another(workplace: Path):
    end = train(*TINY, "name=a").policy.state_dict()
    checkpoint = loaded("runs/a/checkpoints/iteration-000001.ckpt")
    assert end.keys() == checkpoint.keys()
    assert all(torch.equal(end[name], checkpoint[name]) for name in end), "a checkpoint holds fp32"
    for weights in ("runs/a", "runs/a/model"):
        exported = loaded(weights)
        assert end.keys() == exported.keys()
        assert all(torch.equal(end[name].bfloat16().float(), exported[name]) for name in end), "an export bf16"

    train("policy=mini", "policy.weights=runs/a", "name=b")
    assert len(curve(workplace / "runs" / "b", "learn/rate")) == 1
    with pytest.raises(ValueError, match="there is no such checkpoint"):
        loaded("runs/a/checkpoints/iteration-000009.ckpt")
