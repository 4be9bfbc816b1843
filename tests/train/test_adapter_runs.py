"""Runs that train an adapter: small checkpoints, resumed bit for bit, and a start for further runs."""

from __future__ import annotations

from pathlib import Path

import torch
from helpers.running import assert_same_run, curve, weights
from test_start_from_weights import TINY, WORLD

from kairos.compose import build, resolved, wording
from kairos.policy.language import LanguagePolicy
from kairos.runs.folder import RunFolder
from kairos.train.callbacks.checkpoint import newest
from kairos.train.grpo import GRPOModule

OVER = [option for option in WORLD if not option.startswith(("policy.freeze", "iterations"))]
OVER = [*OVER, "policy=mini", "policy.weights=runs/base", "adapter=lora", "adapter.rank=4"]


def run(*overrides: str, resume: bool = False) -> GRPOModule:
    built = build(overrides)
    RunFolder(built.folder).begin(resolved(built.config), [], "", True, wording(built.config))
    checkpoint = newest(built.folder / "checkpoints") if resume else None
    built.trainer.fit(built.module, built.datamodule, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return built.module


def policy_of(*overrides: str) -> LanguagePolicy:
    module = build(overrides).module
    module.configure_model()
    assert isinstance(module.policy, LanguagePolicy)
    return module.policy


def test_a_run_of_an_adapter_is_resumed_exported_and_started_from(workplace: Path):
    run(*WORLD, *TINY, "name=base")
    whole = run(*OVER, "iterations=4", "name=whole").policy
    run(*OVER, "iterations=2", "name=cut")
    run(*OVER, "iterations=4", "name=cut", resume=True)
    assert_same_run(workplace / "runs" / "whole", workplace / "runs" / "cut")

    saved = weights(workplace / "runs" / "whole" / "checkpoints" / "iteration-000004.ckpt")
    assert all(".lora_" in name or name == "policy.adapter_facts" for name in saved)
    assert any(bool((value != 0).any()) for name, value in saved.items() if "lora_B" in name), "it learnt"

    found = curve(workplace / "runs" / "whole", "throughput/feature_hits")
    passed = curve(workplace / "runs" / "whole", "throughput/tower_clips")
    assert len(found) == 4 and sum(passed) <= 2 < sum(found), "two clips, seen once each"

    merged = whole.adapter.merged(whole.model)
    for start in ("runs/whole/checkpoints/iteration-000004.ckpt", "runs/whole"):
        loaded = policy_of(*WORLD, "policy=mini", f"policy.weights={start}", "name=further").model.state_dict()
        assert loaded.keys() == merged.keys()
        for name, value in merged.items():
            expected = value if start.endswith(".ckpt") else value.bfloat16().float()
            torch.testing.assert_close(loaded[name], expected, atol=1e-6, rtol=1e-6)
    again = policy_of(*OVER, "policy.weights=runs/whole/checkpoints/iteration-000004.ckpt", "name=second")
    assert {name for name, p in again.named_parameters() if p.requires_grad} == {
        name for name, p in whole.named_parameters() if p.requires_grad
    }
