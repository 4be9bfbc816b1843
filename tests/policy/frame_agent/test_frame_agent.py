"""The temporal agent: its numbers, its window, its encoding of time, and the gradient it is trained by."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from kairos.core.protocols import Policy
from kairos.core.types import Origin, Prompt, RolloutBatch, RolloutGroup, Sampling, Target, VideoClip
from kairos.policy.frame_agent.agent import TemporalAgent
from kairos.policy.frame_agent.choice import FrameChoice, Independent, PlackettLuce
from kairos.policy.frame_agent.scorer import inside, time_encoding


def prompt(frames: int = 40, width: int = 24, uid: str = "p") -> Prompt:
    generator = torch.Generator().manual_seed(frames)
    features = torch.nn.functional.normalize(torch.randn(frames, width, generator=generator), dim=-1)
    clip = VideoClip(uid, None, torch.arange(frames).double(), float(frames), {"clip": features})
    question = torch.randn(width, generator=generator)
    return Prompt(uid, "needle", "toy", clip, "what?", Target(), features={"question": question})


def as_batch(groups: list[RolloutGroup], temperature: float, advantages: Tensor) -> RolloutBatch:
    rows = [rollout for group in groups for rollout in group.rollouts]
    actions = torch.stack([row.actions_A for row in rows])
    return RolloutBatch(
        prompts=tuple(group.prompt for group in groups),
        group_of_B=torch.arange(len(groups)).repeat_interleave(len(groups[0])),
        actions_BA=actions,
        mask_BA=torch.ones(actions.shape),
        origin_B=torch.full((len(rows),), int(Origin.POLICY)),
        advantages_B=advantages,
        weights_B=torch.ones(len(rows)),
        temperature=temperature,
    )


def test_it_is_a_policy_with_the_published_numbers_of_parameters() -> None:
    agent = TemporalAgent()
    assert isinstance(agent, Policy)
    assert sum(parameter.numel() for parameter in agent.parameters()) == 3_543_552
    assert sum(parameter.numel() for parameter in agent.parameters() if parameter.requires_grad) == 2_952_960
    small = TemporalAgent(unused_projection=False)
    assert sum(parameter.numel() for parameter in small.parameters()) == 2_952_960
    assert all(torch.equal(agent.get_parameter(name), parameter) for name, parameter in small.named_parameters())
    assert all(parameter.dtype == torch.float32 for parameter in agent.parameters())


@pytest.mark.parametrize("frames", [1, 5, 12, 30])
def test_frame_j_sees_from_six_before_to_five_after(frames: int) -> None:
    inside_TW = inside(frames, 12)
    assert inside_TW.shape == (frames, 12)
    for j in range(frames):
        seen = [j - 6 + w for w in range(12) if inside_TW[j, w]]
        assert seen == list(range(max(0, j - 6), min(frames - 1, j + 5) + 1))


def test_windowed_attention_is_full_attention_under_the_mask() -> None:
    agent = TemporalAgent(width=24, heads=4)
    with torch.no_grad():
        for parameter in agent.parameters():
            parameter.normal_(0, 0.5)
    placed = torch.randn(30, 24)
    q, k, v = (layer(placed).view(30, 4, 6).transpose(0, 1) for layer in (agent.query, agent.key, agent.value))
    j = torch.arange(30)
    outside = (j[None, :] < j[:, None] - 6) | (j[None, :] > j[:, None] + 5)
    weights = ((q @ k.transpose(1, 2)) / math.sqrt(6)).masked_fill(outside, -1e6).softmax(-1)
    expected = (weights @ v).transpose(0, 1).reshape(30, 24)
    torch.testing.assert_close(agent._attend(placed, inside(30, agent.window)), expected)


def test_time_is_encoded_relative_to_the_clip() -> None:
    encoding = time_encoding(10, 8)
    assert encoding.shape == (10, 8)
    for t, i in ((0, 0), (3, 1), (9, 3)):
        angle = (t / 10) * 10000 ** (-2 * i / 8)
        assert encoding[t, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
        assert encoding[t, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)
    torch.testing.assert_close(time_encoding(100, 8)[::10], encoding)


def test_with_the_last_layer_at_zero_the_scores_are_twice_the_cosine() -> None:
    agent = TemporalAgent(width=24)
    with torch.no_grad():
        agent.mlp[2].weight.zero_()
    question = prompt()
    frames, words = question.clip.features["clip"], question.features["question"]
    cosine = torch.nn.functional.cosine_similarity(frames, words[None], dim=-1)
    torch.testing.assert_close(agent.scores(frames, words), 2 * cosine, atol=1e-5, rtol=0)


def test_frames_are_distinct_sorted_and_scored_as_recorded() -> None:
    agent = TemporalAgent(width=24)
    groups = agent.sample([prompt(40), prompt(25, uid="q")], 6, Sampling(temperature=0.1, max_actions=5), seed=4)
    for group in groups:
        for row in group.rollouts:
            assert row.text == "" and len(row.actions_A) == 5
            assert (row.actions_A.diff() > 0).all()
    stats = agent(as_batch(groups, 0.1, torch.zeros(12)), entropy=True)
    recorded = torch.stack([row.behavior_logprobs_A for group in groups for row in group.rollouts])
    torch.testing.assert_close(stats.logprobs_BA, recorded)
    logits = agent.scores(groups[1].prompt.clip.features["clip"], groups[1].prompt.features["question"]) / 0.1
    expected = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(stats.entropy_BA[6:], expected.expand(6, 5))
    assert len(agent.sample([prompt(3)], 1, Sampling(max_actions=5), seed=0)[0].rollouts[0].actions_A) == 3


def test_clips_scored_together_have_the_scores_and_gradients_of_each_alone() -> None:
    together, alone = TemporalAgent(width=24), TemporalAgent(width=24)
    asked = [prompt(40), prompt(1, uid="q"), prompt(25, uid="r")]
    weights = [torch.randn(len(one.clip)) for one in asked]
    scores = together.scores_of_prompts(asked)
    sum((weight * found).sum() for weight, found in zip(weights, scores, strict=True)).backward()
    for weight, found, one in zip(weights, scores, asked, strict=True):
        torch.testing.assert_close(found, alone.scores_of(one))
        (weight * alone.scores_of(one)).sum().backward()
    for ours, theirs in zip(together.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("choice", [Independent(), PlackettLuce()])
def test_rows_of_clips_of_different_lengths_are_scored_as_each_clips_rows_alone(choice: FrameChoice) -> None:
    together, alone = TemporalAgent(width=24, choice=choice), TemporalAgent(width=24, choice=choice)
    sampling = Sampling(temperature=0.1, max_actions=5)
    groups = together.sample([prompt(40), prompt(7, uid="q")], 3, sampling, seed=4)
    stats = together(as_batch(groups, 0.1, torch.zeros(6)), entropy=True)
    (stats.logprobs_BA.sum() + stats.entropy_BA.sum()).backward()
    for number, group in enumerate(groups):
        own = alone(as_batch([group], 0.1, torch.zeros(3)), entropy=True)
        (own.logprobs_BA.sum() + own.entropy_BA.sum()).backward()
        torch.testing.assert_close(stats.logprobs_BA[3 * number : 3 * number + 3], own.logprobs_BA)
        torch.testing.assert_close(stats.entropy_BA[3 * number : 3 * number + 3], own.entropy_BA)
    for ours, theirs in zip(together.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4)


def test_temperature_zero_takes_the_best_frames() -> None:
    agent = TemporalAgent(width=24)
    question = prompt()
    group = agent.sample([question], 2, Sampling(temperature=0.0, max_actions=6), seed=0)[0]
    scores = agent.scores(question.clip.features["clip"], question.features["question"])
    for row in group.rollouts:
        assert row.actions_A.tolist() == sorted(scores.topk(6).indices.tolist())


def test_a_draw_depends_on_seed_uid_and_row_alone() -> None:
    agent = TemporalAgent(width=24)
    sampling = Sampling(temperature=0.1, max_actions=4)
    both = agent.sample([prompt(40), prompt(25, uid="q")], 3, sampling, seed=1)
    alone = agent.sample([prompt(25, uid="q")], 3, sampling, seed=1)
    for ours, theirs in zip(both[1].rollouts, alone[0].rollouts, strict=True):
        assert torch.equal(ours.actions_A, theirs.actions_A)
    other = agent.sample([prompt(40)], 3, sampling, seed=2)[0]
    assert any(not torch.equal(a.actions_A, b.actions_A) for a, b in zip(both[0].rollouts, other.rollouts, strict=True))


def test_one_frame_is_drawn_as_often_as_its_probability() -> None:
    agent = TemporalAgent(width=24)
    question = prompt(12)
    rows = 20_000
    group = agent.sample([question], rows, Sampling(temperature=0.3, max_actions=1), seed=0)[0]
    drawn = torch.bincount(torch.cat([row.actions_A for row in group.rollouts]), minlength=12) / rows
    with torch.no_grad():
        scores = agent.scores(question.clip.features["clip"], question.features["question"])
    expected = (scores / 0.3).softmax(-1)
    assert ((drawn - expected).abs() < 4 * (expected * (1 - expected) / rows).sqrt() + 1e-4).all()


def test_the_gradient_on_scores_is_the_advantage_of_the_chosen_frames() -> None:
    """dL/dS_t = -(1 / (G K tau)) sum_i A_i [t in S_i], since the advantages sum to 0 and K is the same for all."""
    agent = TemporalAgent(width=24)
    question, tau, rows, count = prompt(), 0.025, 8, 5
    group = agent.sample([question], rows, Sampling(temperature=tau, max_actions=count), seed=0)[0]
    rewards = torch.rand(rows)
    advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
    advantages = advantages - advantages.mean()
    kept: list[Tensor] = []

    def remember(frames: Sequence[Tensor], words: Sequence[Tensor]) -> list[Tensor]:
        kept.extend(TemporalAgent.scores_of_clips(agent, frames, words))
        kept[0].retain_grad()
        return kept

    agent.scores_of_clips = remember
    stats = agent(as_batch([group], tau, advantages))
    ratio_G = (stats.logprobs_BA - stats.logprobs_BA.detach()).exp().mean(1)
    loss = -(advantages * ratio_G).mean()
    loss.backward()
    expected = torch.zeros(len(question.clip))
    for advantage, row in zip(advantages, group.rollouts, strict=True):
        expected[row.actions_A] -= advantage / (rows * count * tau)
    torch.testing.assert_close(kept[0].grad, expected, atol=1e-4, rtol=1e-4)
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)


def test_it_cannot_write_and_says_what_features_it_lacks() -> None:
    agent = TemporalAgent(width=24)
    with pytest.raises(ValueError, match="actions are frames"):
        agent.encode("<answer>A</answer>")
    blind = Prompt("p", "needle", "toy", VideoClip("p", None, torch.arange(3.0), 3.0), "what?", Target())
    with pytest.raises(ValueError, match="need the features 'clip' of the clip and 'question' of the prompt"):
        agent.sample([blind], 1, Sampling(max_actions=1), seed=0)


def test_the_reference_stays_where_the_agent_was() -> None:
    agent = TemporalAgent(width=24)
    group = agent.sample([prompt()], 2, Sampling(temperature=0.1, max_actions=3), seed=0)[0]
    rollouts = as_batch([group], 0.1, torch.zeros(2))
    before, reference = agent(rollouts).logprobs_BA.detach(), agent.reference()
    with torch.no_grad():
        agent.mlp[0].weight.normal_()
    assert torch.equal(reference(rollouts).logprobs_BA, before)
