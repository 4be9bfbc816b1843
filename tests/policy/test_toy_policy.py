"""The toy policy: small, instant, and able to learn spans by policy gradient."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_language import clip, prompt

from kairos.core.protocols import Policy
from kairos.core.spans import Span, iou
from kairos.core.types import Origin, RolloutBatch, RolloutGroup, Sampling
from kairos.policy.toy import ToyPolicy


def as_batch(groups: list[RolloutGroup], advantages: torch.Tensor) -> RolloutBatch:
    rows = [rollout for group in groups for rollout in group.rollouts]
    lengths = torch.tensor([len(row.actions_A) for row in rows])
    actions = torch.nn.utils.rnn.pad_sequence([row.actions_A for row in rows], batch_first=True)
    return RolloutBatch(
        prompts=tuple(group.prompt for group in groups),
        group_of_B=torch.arange(len(groups)).repeat_interleave(len(groups[0])),
        actions_BA=actions,
        mask_BA=(torch.arange(actions.shape[1]) < lengths[:, None]).float(),
        origin_B=torch.full((len(rows),), int(Origin.POLICY)),
        advantages_B=advantages,
        weights_B=torch.ones(len(rows)),
    )


def test_it_is_a_policy_of_two_thousand_parameters() -> None:
    toy = ToyPolicy()
    assert isinstance(toy, Policy)
    assert 1000 < sum(parameter.numel() for parameter in toy.parameters()) < 2500


def test_an_answer_is_three_actions_and_reads_back() -> None:
    toy = ToyPolicy()
    actions = toy.encode("<answer>3.5 to 6.0</answer>")
    assert len(actions) == 3 and int(actions[-1]) == toy.end
    assert toy.decode(actions.tolist()) == "<answer>3.5 to 6.0</answer>"
    assert toy.decode(toy.encode("<answer>3.4 to 99.0</answer>").tolist()) == "<answer>3.5 to 16.0</answer>"
    with pytest.raises(ValueError, match="toy policy writes"):
        toy.encode("from three to six")


def test_sampled_logprobs_are_scored_and_rows_stand_alone() -> None:
    toy = ToyPolicy()
    questions = [prompt(f"p{i}", f"when is number {i}?", clip("x", 2)) for i in range(3)]
    groups = toy.sample(questions, 4, Sampling(max_actions=8), seed=3)
    rollouts = as_batch(groups, torch.zeros(12))
    recorded = torch.nn.utils.rnn.pad_sequence(
        [row.behavior_logprobs_A for group in groups for row in group.rollouts], batch_first=True
    )
    torch.testing.assert_close(toy(rollouts).logprobs_BA, recorded)
    alone = toy.sample(questions[1:2], 4, Sampling(max_actions=8), seed=3)[0]
    assert [row.text for row in alone.rollouts] == [row.text for row in groups[1].rollouts]
    greedy = toy.sample(questions, 2, Sampling(temperature=0.0), seed=0)
    assert greedy[0].rollouts[0].text == greedy[0].rollouts[1].text


def test_the_entropy_is_that_of_the_distribution() -> None:
    toy = ToyPolicy()
    groups = toy.sample([prompt("p", "when?", clip("x", 2))], 1, Sampling(), seed=0)
    stats = toy(as_batch(groups, torch.zeros(1)), entropy=True)
    with torch.no_grad():
        about = toy._about([groups[0].prompt])[0]
        logits = toy._logits(about, torch.tensor(toy.end + 1), torch.tensor(0))
    expected = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(stats.entropy_BA[0, 0], expected)


def test_policy_gradient_makes_its_spans_overlap() -> None:
    toy = ToyPolicy()
    questions = [prompt(f"p{i}", f"when is {word} ?", clip("x", 2)) for i, word in enumerate(("red", "blue"))]
    truth = [Span(3.0, 6.0), Span(9.0, 13.0)]
    optimizer = torch.optim.Adam(toy.parameters(), 0.03)
    means = []
    for iteration in range(50):
        groups = toy.sample(questions, 16, Sampling(), seed=iteration)
        rewards = torch.tensor([[overlap(row.text, truth[p]) for row in g.rollouts] for p, g in enumerate(groups)])
        means.append(float(rewards.mean()))
        advantages = ((rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)).flatten()
        rollouts = as_batch(groups, advantages)
        loss = -(toy(rollouts).logprobs_BA.sum(1) * advantages).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert sum(means[:5]) / 5 < 0.2
    assert sum(means[-5:]) / 5 > 0.6


def overlap(text: str, truth: Span) -> float:
    if not (text.startswith("<answer>") and text.endswith("</answer>") and text.count(" to ") == 1):
        return 0.0
    numbers = text.removeprefix("<answer>").removesuffix("</answer>").split(" to ")
    return iou(Span(float(numbers[0]), float(numbers[1])), truth) if "<" not in "".join(numbers) else 0.0
