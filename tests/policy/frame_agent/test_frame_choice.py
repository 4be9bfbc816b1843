"""How likely a choice of frames is: against brute force over all orders, and against how often it is drawn."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest
import torch

from kairos.core.types import Prompt, Sampling, Target, VideoClip
from kairos.policy.frame_agent.agent import TemporalAgent
from kairos.policy.frame_agent.choice import Independent, PlackettLuce

LOGITS = torch.tensor([0.3, -1.2, 2.0, 0.0, 1.1])
ORDERS = list(permutations(range(5), 3))


def by_hand(order: tuple[int, ...]) -> float:
    probability, left = 1.0, LOGITS.double().exp()
    for frame in order:
        probability *= float(left[frame] / left.sum())
        left[frame] = 0.0
    return probability


def test_ordered_choices_have_the_probability_of_drawing_without_replacement() -> None:
    assert len(ORDERS) == 60
    logprobs, _ = PlackettLuce()(LOGITS, torch.tensor(ORDERS), torch.ones(60, 3))
    expected = torch.tensor([by_hand(order) for order in ORDERS])
    torch.testing.assert_close(logprobs.sum(1).exp(), expected, atol=1e-6, rtol=1e-5)
    assert float(logprobs.sum(1).exp().sum()) == pytest.approx(1.0, abs=1e-5)


def test_entropies_are_those_of_each_draw_among_the_frames_left() -> None:
    _, entropies = PlackettLuce()(LOGITS, torch.tensor(ORDERS), torch.ones(60, 3))
    for order, entropy_K in zip(ORDERS, entropies, strict=True):
        left = LOGITS.clone()
        for k, frame in enumerate(order):
            assert float(entropy_K[k]) == pytest.approx(
                float(torch.distributions.Categorical(logits=left).entropy()), abs=1e-5
            )
            left[frame] = -1e9


def test_the_gradient_is_that_of_the_definition() -> None:
    orders = torch.tensor([[2, 0, 4], [1, 3, 2]])
    ours, theirs = (LOGITS.clone().requires_grad_() for _ in range(2))
    PlackettLuce()(ours, orders, torch.ones(2, 3))[0].sum().backward()
    for order in orders.tolist():
        for k, frame in enumerate(order):
            left = [t for t in range(5) if t not in order[:k]]
            (theirs[frame] - theirs[left].logsumexp(0)).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_choosing_every_frame_is_finite_in_values_and_gradients() -> None:
    logits = LOGITS.clone().requires_grad_()
    logprobs, entropies = PlackettLuce()(logits, torch.tensor([[4, 3, 2, 1, 0]]), torch.ones(1, 5))
    (logprobs.sum() + entropies.sum()).backward()
    assert logits.grad is not None and bool(torch.isfinite(logits.grad).all())
    assert float(logprobs[0, -1].detach()) == pytest.approx(0.0, abs=1e-6), "the last frame is certain"


@pytest.mark.parametrize("choice", [Independent(), PlackettLuce()])
def test_actions_outside_the_mask_change_nothing(choice: Independent | PlackettLuce) -> None:
    logits = LOGITS.clone().requires_grad_()
    padded, _ = choice(logits, torch.tensor([[2, 4, 0, 0], [0, 0, 0, 0]]), torch.tensor([[1.0, 1, 0, 0], [0] * 4]))
    alone, _ = choice(LOGITS, torch.tensor([[2, 4]]), torch.ones(1, 2))
    torch.testing.assert_close(padded[0, :2].detach(), alone[0])
    assert not padded[0, 2:].any() and not padded[1].any()
    padded.sum().backward()
    assert logits.grad is not None and bool(torch.isfinite(logits.grad).all())


def test_sets_are_drawn_as_often_as_plackett_luce_says() -> None:
    """5 choose 3: each set's share of 40,000 draws lies within four standard deviations of its probability."""
    agent = TemporalAgent(width=8, heads=2, choice=PlackettLuce())
    generator = torch.Generator().manual_seed(1)
    clip = VideoClip("c", None, torch.arange(5.0), 5.0, {"clip": torch.randn(5, 8, generator=generator)})
    question = {"question": torch.randn(8, generator=generator)}
    prompt = Prompt("p", "needle", "toy", clip, "what?", Target(), features=question)
    rows = 40_000
    group = agent.sample([prompt], rows, Sampling(temperature=0.5, max_actions=3), seed=0)[0]
    drawn = torch.stack([row.actions_A for row in group.rollouts if row.actions_A is not None])
    with torch.no_grad():
        logits = agent.scores_of(prompt) / 0.5
        logprobs, _ = agent.choice(logits, torch.tensor(ORDERS), torch.ones(60, 3))
    probability = dict(zip(ORDERS, logprobs.sum(1).exp().tolist(), strict=True))
    ordered = dict.fromkeys(ORDERS, 0)
    for order in map(tuple, drawn.tolist()):
        ordered[order] += 1
    for members in combinations(range(5), 3):
        expected = sum(probability[order] for order in permutations(members))
        share = sum(ordered[order] for order in permutations(members)) / rows
        assert abs(share - expected) < 4 * (expected * (1 - expected) / rows) ** 0.5 + 1e-4
    for order, count in ordered.items():
        expected = probability[order]
        assert abs(count / rows - expected) < 4 * (expected * (1 - expected) / rows) ** 0.5 + 1e-4
    recorded = torch.stack(
        [row.behavior_logprobs_A for row in group.rollouts[:50] if row.behavior_logprobs_A is not None]
    )
    expected_logprobs = torch.stack([logprobs[ORDERS.index(tuple(order))] for order in drawn[:50].tolist()])
    torch.testing.assert_close(recorded, expected_logprobs, atol=1e-5, rtol=1e-5)
