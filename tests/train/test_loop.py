"""The whole loop on the toy: every method's reward rises, and what goes wrong is said at once."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest
import torch
from helpers.running import curve, fit, rows

from kairos.credit.rewards.rubric import RewardError
from kairos.rollout.annotations import Annotations
from kairos.rollout.live import Live
from kairos.train.callbacks.validation import greedy_engine

LEARN = [
    "optimizer=adamw",
    "optimizer.learning_rate=0.04",
    "iterations=40",
    "prompts=8",
    "callbacks.validation.every=20",
]


@pytest.mark.parametrize("method", ["timezero", "time_r1"])
def test_the_reward_rises(method: str):
    run = fit("name=a", f"method={method}", *LEARN)
    rewards = curve(run.folder, "reward/total")
    assert fmean(rewards[-5:]) > fmean(rewards[:5]) + 0.4
    assert curve(run.folder, "objective/kl")[-1] > 0, "the policy has left its reference"
    overlap = curve(run.folder, "val/miou")
    assert len(overlap) == 2 and overlap[-1] > 0.2


def test_supervised_learning_is_the_same_loop():
    run = fit("name=a", "method=sft", *LEARN)
    losses, overlap = curve(run.folder, "objective/imitation"), curve(run.folder, "val/miou")
    assert losses[-1] < 0.6 * losses[0]
    assert overlap[-1] > 0.8
    assert not curve(run.folder, "reward/total"), "rows that the annotation wrote are in no reward"
    assert {row["origin"] for row in rows(run.folder / "rollouts.jsonl")} == {"demonstration"}


def test_an_annotation_never_validates_itself():
    """Untrained, at a learning rate of 0: the annotation would score 1."""
    run = fit("name=a", "method=sft", "iterations=1", "optimizer.learning_rate=0", "callbacks.validation.every=1")
    assert curve(run.folder, "val/miou")[0] < 0.5
    assert isinstance(greedy_engine(Annotations()), Live)
    assert not isinstance(run.module.engine, Live)
    live = Live()
    assert greedy_engine(live) is live


def test_debug_prints_shapes_and_reward_terms(capsys: pytest.CaptureFixture[str]):
    run = fit("name=a", "experiment=debug", "prompts=1")
    said = capsys.readouterr().out
    for expected in (
        "prompt toy/train-0/", "batch.actions_BA [2, ", "batch.mask_BA [2, ", "batch.advantages_B [2] float32",
        "batch.weights_B [2] float32", "clip.seconds_T [32]", "rollout 1 policy", "reward/iou ", "learn/gradient_norm ",
    ):  # fmt: skip
        assert expected in said, expected
    assert "iou 0." in said and "format " in said and "total " in said and "advantage " in said
    assert len(rows(run.folder / "rollouts.jsonl")) == 2


def test_overfit_approaches_the_maximum():
    """IoU and format, weights 1 and 1."""
    run = fit("name=a", "experiment=overfit", "optimizer.learning_rate=0.02")
    assert len({row["uid"] for row in rows(run.folder / "rollouts.jsonl")}) == 4
    assert fmean(curve(run.folder, "reward/total")[-5:]) > 1.8


OWN = """
import torch


class Fussy:
    def __call__(self, group):
        if group.prompt.uid.endswith("0003"):
            raise {raised}
        return torch.zeros(len(group))
"""


@pytest.mark.parametrize("raised", ["KeyError('lost')", "ZeroDivisionError('none')"])
def test_a_reward_that_raises_stops_the_run_and_names_the_prompt(
    raised: str, workplace: Path, monkeypatch: pytest.MonkeyPatch
):
    (workplace / f"fussy{len(raised)}.py").write_text(OWN.format(raised=raised))
    monkeypatch.syspath_prepend(workplace)
    term = f"reward.terms.iou.term._target_=fussy{len(raised)}.Fussy"
    with pytest.raises(RewardError) as caught:
        fit("name=a", term, "iterations=8", "rollout=scripted")
    assert "'iou'" in str(caught.value) and "'toy/train-0/0003'" in str(caught.value)
    assert "<answer>0.0 to 1.0</answer>" in str(caught.value)
    assert raised[:8] in str(caught.value)


def test_injected_rows_take_part_but_are_no_reward():
    run = fit("name=a", "injection=ground_truth", "iterations=2", "sampling.group_size=4", "objective=surrogate")
    written = rows(run.folder / "rollouts.jsonl")
    assert [row["origin"] for row in written].count("ground_truth") == len(written) // 4
    own = [float(row["reward"]) for row in written if row["origin"] == "policy" and row["iteration"] == 1]  # type: ignore[arg-type]
    assert curve(run.folder, "reward/total")[0] == pytest.approx(fmean(own), abs=1e-6)
    assert curve(run.folder, "injected/reward") == [2.0, 2.0]


@pytest.mark.parametrize("schedule, expected", [("constant", [0.1, 0.2, 0.2, 0.2]), ("linear", [0.1, 0.2, 0.2, 0.1])])
def test_the_learning_rate_follows_its_schedule(schedule: str, expected: list[float]):
    run = fit(
        "name=a", "iterations=4", "optimizer=sgd", "optimizer.learning_rate=0.2", f"+optimizer.schedule={schedule}",
        "+optimizer.warmup=2",
    )  # fmt: skip
    assert curve(run.folder, "learn/rate") == pytest.approx(expected)


def test_the_clip_of_the_gradient_bounds_the_step():
    run = fit("name=a", "iterations=1", "optimizer=sgd", "optimizer.learning_rate=1.0", "clip_norm=0.01")
    start = fit("name=b", "iterations=1", "optimizer=sgd", "optimizer.learning_rate=0.0", "clip_norm=0").module.policy
    moved = [a - b for a, b in zip(run.module.policy.parameters(), start.parameters(), strict=True)]
    assert float(torch.cat([m.detach().flatten() for m in moved]).norm()) == pytest.approx(0.01, rel=1e-3)
    assert curve(run.folder, "learn/gradient_norm")[0] > 0.01
