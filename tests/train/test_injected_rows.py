"""Injected rows in a run: what is logged of them, rows longer than the limit, and every estimator in the loop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.running import curve, fit, rows

from kairos.core.types import Origin, Prompt, Rollout, RolloutGroup, Scores, Target, VideoClip
from kairos.credit.advantages import Anchored, GroupNormalized, PerGroup
from kairos.credit.earned import earned
from kairos.credit.gates import NoGate
from kairos.credit.shapes import LogExp
from kairos.train.diagnostics import Credited, measure
from kairos.train.meter import Meter

IOUS = [0.50, 0.55, 0.60, 0.62, 0.65, 0.70, 0.72]


def measured(rewards: torch.Tensor, advantage: GroupNormalized | Anchored) -> dict[str, float]:
    """The log of one group of tokens whose last row is the annotation."""
    clip = VideoClip("c", None, torch.zeros(0), 1.0)
    origins = [Origin.POLICY] * (len(rewards) - 1) + [Origin.GROUND_TRUTH]
    written = tuple(Rollout("x", None, origin=origin) for origin in origins)
    group = RolloutGroup(Prompt("p", "grounding", "s", clip, "", Target()), written)
    (credit,) = earned(PerGroup(advantage), NoGate(), [rewards], [group.on_policy_G])
    meter = Meter()
    measure(meter, Credited(group, Scores({}, rewards, (None,) * len(rewards)), credit))
    return meter.reduce()


def test_one_row_of_the_raw_mix_flips_and_none_of_the_anchored_one():
    raw = torch.tensor([*IOUS, 1.0]) + 0.1
    log = measured(raw, GroupNormalized(1e-6))
    assert log["advantage/sign_flips"] == pytest.approx(1 / 7) and log["advantage/groups_with_flips"] == 1
    assert log["injected/contamination"] == pytest.approx(0.0475 / 0.0727029, rel=1e-4)
    assert log["injected/spread_ratio"] == pytest.approx(0.142894 / 0.0727029, rel=1e-4)
    assert log["injected/advantage"] == pytest.approx(2.1766, abs=1e-4)
    assert log["advantage/positive"] == pytest.approx((0.2128 + 0.3437) / 2, abs=1e-4)
    assert log["advantage/groups_without_positives"] == log["injected/groups_without_spread"] == 0
    anchored = measured(raw, Anchored())
    assert anchored["advantage/sign_flips"] == anchored["advantage/groups_with_flips"] == 0


def test_the_shaped_mix_keeps_the_row_that_the_raw_one_flips():
    shaped = LogExp()(torch.tensor([*IOUS, 1.0])) + 0.1
    log = measured(shaped, GroupNormalized(1e-6))
    assert log["advantage/positive"] == pytest.approx((0.1155 + 0.6144 + 0.8071) / 3, abs=1e-4)
    assert log["injected/contamination"] < 0.66


def test_a_group_may_lose_all_its_positives():
    log = measured(torch.tensor([0.10, 0.12, 0.14, 1.0]), GroupNormalized())
    assert log["advantage/groups_without_positives"] == 1 and "advantage/positive" not in log
    assert log["advantage/sign_flips"] == pytest.approx(1 / 3), "the middle row is on neither side"


def test_equal_rewards_flip_nothing_and_are_not_contaminated():
    log = measured(torch.tensor([0.3, 0.3, 0.3, 1.0]), GroupNormalized())
    assert log["advantage/sign_flips"] == 0 and log["injected/groups_without_spread"] == 1
    assert "injected/contamination" not in log and log["advantage/groups_without_positives"] == 0


SMALL = ["iterations=2", "sampling.group_size=4", "template=answer"]
ABLATION = {
    "raw mix": ["shape=identity"],
    "downscaled": ["shape=identity", "advantage=downscaled"],
    "anchored": ["shape=identity", "advantage=anchored"],
    "shaped": [],
    "annotation as rollout": ["shape=identity", "injection=ground_truth_appended", "advantage=annotation_as_rollout"],
    "overwritten": ["method=tempsamp_released"],
}


@pytest.mark.parametrize("variant", ABLATION)
def test_every_way_to_inject_trains(variant: str):
    run = fit("name=a", "method=tempsamp_r1", *SMALL, *ABLATION[variant])
    written = rows(run.folder / "rollouts.jsonl")
    size = 5 if variant == "annotation as rollout" else 4
    assert len(written) == 2 * 4 * size
    assert [row["origin"] for row in written].count("ground_truth") == 2 * 4
    assert len(curve(run.folder, "advantage/sign_flips")) == 2
    assert curve(run.folder, "learn/gradient_norm")[0] > 0
    kept = {row["weight"] for row in written}
    assert kept == ({0.0, 1.0} if variant == "annotation as rollout" else {1.0})


@pytest.mark.parametrize("objective", ["surrogate_kl", "dapo", "dr_grpo"])
def test_an_injected_row_longer_than_the_completion_limit_is_learned_whole(objective: str):
    run = fit("name=a", "method=tempsamp_r1", *SMALL, f"objective={objective}", "sampling.max_actions=2")
    batch = run.module.rollouts
    assert batch is not None
    lengths = batch.mask_BA.sum(dim=1)
    injected = batch.origin_B == int(Origin.GROUND_TRUTH)
    assert bool((lengths[injected] > 2).all()) and bool((lengths[~injected] <= 2).all())
    template = run.module.credited[0].group.prompt.template
    assert template is not None
    for credited in run.module.credited:
        text = credited.group.rollouts[-1].text
        assert text == template.answer(credited.group.prompt.target) and text.endswith("</answer>")
    assert curve(run.folder, "injected/reward") and curve(run.folder, "learn/gradient_norm")[-1] > 0


@pytest.mark.parametrize("method", ["temporal_r1", "time_r1_finetune", "dapo", "dr_grpo", "time_r1_cold_start"])
def test_every_method_trains(method: str, workplace: Path):
    run = fit("name=a", f"method={method}", "iterations=2", "template=answer")
    assert len(curve(run.folder, "learn/gradient_norm")) == 2
    assert (curve(run.folder, "objective/kl") != []) is (method == "temporal_r1")
    assert (curve(run.folder, "policy/entropy") != []) is (method == "temporal_r1")
