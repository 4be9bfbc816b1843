"""What is sampled is what is scored, whatever it is batched with."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_language import FAMILIES, policy, prompts

from kairos.core.types import Origin, Prompt, RolloutBatch, RolloutGroup, Sampling
from kairos.policy.language import LanguagePolicy


@pytest.fixture(scope="module")
def language(folder: str) -> LanguagePolicy:
    return policy(folder)


def prompts_of(language: LanguagePolicy) -> list[Prompt]:
    return prompts(language.family.cut.patch * language.family.cut.merge)


def as_batch(groups: list[RolloutGroup], temperature: float) -> RolloutBatch:
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    actions = torch.nn.utils.rnn.pad_sequence([r.actions_A for r in rollouts], batch_first=True)
    lengths = torch.tensor([len(r.actions_A) for r in rollouts])
    count = len(rollouts)
    return RolloutBatch(
        prompts=tuple(group.prompt for group in groups),
        group_of_B=torch.arange(len(groups)).repeat_interleave(len(groups[0])),
        actions_BA=actions,
        mask_BA=(torch.arange(actions.shape[1]) < lengths[:, None]).float(),
        origin_B=torch.full((count,), int(Origin.POLICY)),
        advantages_B=torch.zeros(count),
        weights_B=torch.ones(count),
        temperature=temperature,
        behavior_logprobs_BA=torch.nn.utils.rnn.pad_sequence(
            [r.behavior_logprobs_A for r in rollouts], batch_first=True
        ),
    )


@pytest.fixture(params=FAMILIES)
def other(request: pytest.FixtureRequest, folder: str) -> LanguagePolicy:
    """Each family in turn."""
    return FAMILIES[request.param].policy(folder)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_recorded_logprobs_are_scored_logprobs(other: LanguagePolicy, temperature: float) -> None:
    """40 tokens: beyond the first allocation of the memory for drawn tokens."""
    groups = other.sample(prompts_of(other), 4, Sampling(temperature=temperature, max_actions=40), seed=5)
    rollouts = as_batch(groups, temperature)
    with torch.no_grad():
        scored = other(rollouts).logprobs_BA
    assert rollouts.mask_BA.sum(1).max() > 20
    torch.testing.assert_close(scored, rollouts.behavior_logprobs_BA, atol=1e-4, rtol=0)


def test_rows_do_not_depend_on_what_they_are_batched_with(other: LanguagePolicy) -> None:
    sampling, questions = Sampling(max_actions=12), prompts_of(other)
    whole = other.sample(questions, 4, sampling, seed=1)
    for number, question in enumerate(questions):
        alone = other.sample([question], 4, sampling, seed=1)[0]
        fewer = other.sample([question], 2, sampling, seed=1)[0]
        for row, rollout in enumerate(whole[number].rollouts):
            assert torch.equal(rollout.actions_A, alone.rollouts[row].actions_A)
        assert torch.equal(fewer.rollouts[1].actions_A, alone.rollouts[1].actions_A)
    again = other.sample(questions, 4, sampling, seed=2)
    assert any(
        not torch.equal(a.actions_A, b.actions_A) for a, b in zip(whole[0].rollouts, again[0].rollouts, strict=True)
    )


def test_greedy_takes_the_likeliest_token_each_time(language: LanguagePolicy) -> None:
    """The mode found by scoring every token at every step is what temperature 0 writes."""
    greedy = language.sample(prompts()[:1], 2, Sampling(temperature=0.0, max_actions=4), seed=0)[0]
    first, second = greedy.rollouts
    assert torch.equal(first.actions_A, second.actions_A)
    assert (first.behavior_logprobs_A == 0).all()
    allowed = [t for t in range(len(language.processor.loaded)) if t not in language.towers.banned]
    tried = torch.tensor([[*first.actions_A[:2].tolist(), token] for token in allowed])
    rollouts = RolloutBatch(
        prompts=(greedy.prompt,),
        group_of_B=torch.zeros(len(tried), dtype=torch.long),
        actions_BA=tried,
        mask_BA=torch.ones(tried.shape),
        origin_B=torch.zeros(len(tried), dtype=torch.long),
        advantages_B=torch.zeros(len(tried)),
        weights_B=torch.ones(len(tried)),
    )
    with torch.no_grad():
        last = language(rollouts).logprobs_BA[:, 2]
    assert allowed[int(last.argmax())] == int(first.actions_A[2])
    assert float(last.exp().sum()) == pytest.approx(1.0, abs=1e-4)


def test_no_vision_token_is_ever_drawn_even_when_it_is_the_likeliest(language: LanguagePolicy) -> None:
    banned = language.towers.banned
    weight = language.model.lm_head.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight[list(banned)] *= 50
    try:
        groups = language.sample(prompts(), 8, Sampling(max_actions=10), seed=0)
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    drawn = torch.cat([rollout.actions_A for group in groups for rollout in group.rollouts])
    assert not torch.isin(drawn, torch.tensor(banned)).any()


def test_frequencies_follow_the_distribution(language: LanguagePolicy) -> None:
    rows = 2000
    group = language.sample(prompts()[:1], rows, Sampling(temperature=0.5, max_actions=1), seed=9)[0]
    first = torch.stack([rollout.actions_A[0] for rollout in group.rollouts])
    token, count = torch.unique(first, return_counts=True)
    best = token[count.argmax()]
    probability = group.rollouts[int((first == best).nonzero()[0])].behavior_logprobs_A[0].exp()
    share = (first == best).float().mean()
    assert abs(share - probability) < 4 * (probability * (1 - probability) / rows).sqrt()


def test_top_p_and_top_k_cut_and_renormalise(language: LanguagePolicy) -> None:
    """With one token left its log-probability is 0; with two, the two probabilities sum to 1."""
    one = language.sample(prompts()[:1], 4, Sampling(top_p=1e-6, max_actions=5), seed=0)[0]
    greedy = language.sample(prompts()[:1], 4, Sampling(temperature=0.0, max_actions=5), seed=0)[0]
    assert all(torch.equal(a.actions_A, greedy.rollouts[0].actions_A) for a in one.rollouts)
    assert all((a.behavior_logprobs_A == 0).all() for a in one.rollouts)
    two = language.sample(prompts()[:1], 64, Sampling(top_k=2, max_actions=1), seed=0)[0]
    seen = {int(r.actions_A[0]): float(r.behavior_logprobs_A[0].exp()) for r in two.rollouts}
    assert len(seen) == 2
    assert sum(seen.values()) == pytest.approx(1.0, abs=1e-5)


def test_a_row_ends_at_the_end_token_or_is_truncated(language: LanguagePolicy) -> None:
    end = language.processor.end
    weight = language.model.lm_head.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight[end] *= 3
    try:
        groups = language.sample(prompts(), 16, Sampling(max_actions=6), seed=0)
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    assert {rollout.truncated for rollout in rollouts} == {True, False}
    for rollout in rollouts:
        ends = (rollout.actions_A == end).nonzero().flatten().tolist()
        assert ends == ([] if rollout.truncated else [len(rollout.actions_A) - 1])
        assert len(rollout.actions_A) == 6 or not rollout.truncated
        assert "<|im_end|>" not in rollout.text


def test_sampling_leaves_the_mode_as_it_was(language: LanguagePolicy) -> None:
    for mode in (True, False):
        language.model.train(mode)
        language.sample(prompts()[:1], 1, Sampling(max_actions=2), seed=0)
        assert language.model.training is mode
    language.model.train()
