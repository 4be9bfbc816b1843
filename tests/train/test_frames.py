"""An action may be a frame: TSPO's toy example runs through the same module, which knows nothing of frames."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from helpers.running import curve, rows

from kairos.compose import build
from kairos.core.types import Prompt, Rollout, RolloutGroup, Scores, Target, VideoClip
from kairos.credit.earned import Earned
from kairos.policy.frame_agent.agent import TemporalAgent
from kairos.train.diagnostics import Credited, records
from kairos.train.grpo import GRPOModule


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_agent_finds_the_beginning_within_ten_iterations(seed: int):
    """Released run: mean reward .08 .42 .75 1 .92 .92 .92 1 1 1 (spec of TSPO's toy example)."""
    built = build(["experiment=frame_toy", f"seed={seed}", "callbacks.progress=null", f"name=seed{seed}"])
    assert type(built.module) is GRPOModule
    built.trainer.fit(built.module, built.datamodule)
    rewards = curve(built.folder, "reward/total")
    assert len(rewards) == 10
    assert rewards[0] < 0.9, "there was nothing to learn"
    assert max(rewards) == 1.0
    assert rewards[-1] > 0.95
    assert curve(built.folder, "rollout/length") == [6.0] * 10
    for row in rows(built.folder / "rollouts.jsonl"):
        frames = row["frames"]
        assert frames == row["actions"] and row["frame_seconds"] == [float(frame) for frame in frames]  # type: ignore[attr-defined]
        assert frames == sorted(set(frames)) and len(frames) == 6  # type: ignore[arg-type]
        assert row["terms"]["hit"] == float(min(frames) < 16)  # type: ignore[index, type-var]


def test_chosen_frames_are_logged_beside_an_answer_that_others_wrote():
    clip = VideoClip("c", None, torch.tensor([0.0, 0.5, 2.25, 4.0]), 5.0)
    prompt = Prompt("p", "choice", "s", clip, "what?", Target(choice="B"))
    chosen_K = torch.tensor([1, 3])
    probs_O = torch.tensor([0.25, 0.75])
    written = (
        Rollout("B", chosen_K, torch.zeros(2), chosen_K=chosen_K, option_probs_O=probs_O),
        Rollout("A", torch.tensor([7])),
    )
    credited = Credited(
        RolloutGroup(prompt, written),
        Scores({}, torch.zeros(2), (None, None)),
        Earned(torch.zeros(2), torch.ones(2), 1.0),
    )
    answered, text = records(1, credited)
    assert (answered["text"], answered["frames"], answered["frame_seconds"]) == ("B", [1, 3], [0.5, 4.0])
    assert answered["option_probs"] == [0.25, 0.75]
    assert not {"frames", "frame_seconds", "option_probs"} & set(text)


def test_the_temperature_falls_from_first_to_last():
    built = build(["experiment=frame_toy", "name=a"])
    at = [built.module.sampling.at(iteration, 10).temperature for iteration in range(10)]
    assert at[0] == 0.025 and at[-1] == pytest.approx(0.01)
    assert at == sorted(at, reverse=True) and len(set(at)) == 10
    steps = [first - second for first, second in pairwise(at)]
    assert max(steps) == pytest.approx(min(steps))


def test_groups_without_spread_are_counted_and_move_nothing():
    impossible = "+reward.terms.hit.term.frames=7"
    built = build(["experiment=frame_toy", impossible, "iterations=2", "callbacks.progress=null", "name=a"])
    built.trainer.fit(built.module, built.datamodule)
    assert curve(built.folder, "reward/no_spread") == [1.0, 1.0]
    assert curve(built.folder, "learn/gradient_norm") == [0.0, 0.0]


def test_a_step_moves_scores_by_the_advantages_of_the_chosen_frames():
    """dL/dS_t = -(1 / (G K tau)) sum_i A_i [t in S_i], A_i = (r_i - mean) / (std + 1e-4), in the whole loop."""
    built = build(["experiment=frame_toy", "+reward.terms.hit.term.frames=2", "name=a"])
    module, agent = built.module, built.module.policy
    assert isinstance(agent, TemporalAgent)
    module.configure_model()
    batch = next(iter(built.datamodule.batches("train")))
    groups = module.roll_out(batch)
    rollouts = module.credit(groups, batch)
    scores: list[torch.Tensor] = []

    def remember(frames: Sequence[torch.Tensor], questions: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        scores.extend(TemporalAgent.scores_of_clips(agent, frames, questions))
        scores[0].retain_grad()
        return scores

    agent.scores_of_clips = remember
    values, _ = module.objective.values(agent(rollouts), rollouts)
    weights, denominator = module.objective.weights(rollouts.mask_BA, rollouts.group_of_B, rollouts.weights_B)
    loss = (weights * values).sum() / denominator
    loss.backward()
    chosen = [rollout.actions_A for rollout in groups[0].rollouts]
    rewards = torch.tensor([float((frames < 16).sum() >= 2) for frames in chosen])
    assert 0 < rewards.mean() < 1, "nothing to learn in this group"
    advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
    expected = torch.zeros(128)
    for advantage, frames in zip(advantages, chosen, strict=True):
        expected[frames] -= advantage / (12 * 6 * 0.025)
    torch.testing.assert_close(scores[0].grad, expected, atol=1e-4, rtol=1e-4)
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)


def test_training_has_never_heard_of_frames(repository: Path):
    """Names in the code of train/, docstrings aside, and the callback aside that compares ways of choosing frames."""
    known = set()
    train = repository / "src" / "kairos" / "train"
    for path in set(train.rglob("*.py")) - {train / "callbacks" / "frame_arms.py"}:
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "arg", None)
            if isinstance(name, str) and "frame" in name.lower():
                known.add(f"{path.name}: {name}")
    assert known == {"parcel.py: frames_TCHW", "parcel.py: frame_contents"}, (
        "only the carrier of clips may touch a clip's frames"
    )
