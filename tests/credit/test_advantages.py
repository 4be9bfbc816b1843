"""Advantages give the values of the papers, and nothing for equal rewards."""

from __future__ import annotations

import pytest
import torch

from kairos.credit.advantages import GroupNormalized, MeanCentred, One
from kairos.credit.shapes import LogExp

IOUS = [0.50, 0.55, 0.60, 0.62, 0.65, 0.70, 0.72]


def advantages(rewards: torch.Tensor, epsilon: float = 1e-6) -> list[float]:
    values, weights = GroupNormalized(epsilon)(rewards, torch.ones(len(rewards), dtype=torch.bool))
    assert weights.tolist() == [1.0] * len(rewards)
    return values.tolist()


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        (IOUS, [-1.5281, -0.8914, -0.2547, 0.0, 0.3820, 1.0187, 1.2734]),
        ([*IOUS, 1.0], [-1.0965, -0.7692, -0.4419, -0.3109, -0.1146, 0.2128, 0.3437, 2.1766]),
        (
            LogExp()(torch.tensor([*IOUS, 1.0])).tolist(),
            [-1.5399, -0.9603, -0.4089, -0.1960, 0.1155, 0.6144, 0.8071, 1.5680],
        ),
    ],
    ids=["on policy", "raw mix", "shaped mix"],
)
def test_group_normalised_gives_the_values_of_tempsamp(rewards, expected):
    assert advantages(torch.tensor(rewards) + 0.1) == pytest.approx(expected, abs=1e-4)


def test_group_normalised_is_the_formula_with_unbiased_deviation():
    rewards = torch.rand(8)
    expected = (rewards - rewards.mean()) / (rewards.std(unbiased=True) + 1e-4)
    assert torch.allclose(GroupNormalized()(rewards, torch.ones(8).bool())[0], expected, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_equal_rewards_give_no_advantage_at_all(size):
    for value in (0.1, 0.3, 1.7, 0.0):
        assert advantages(torch.full((size,), value)) == [0.0] * size


def test_mean_centred_keeps_the_scale():
    values, weights = MeanCentred()(torch.tensor([0.0, 1.0, 2.0]), torch.ones(3).bool())
    assert values.tolist() == [-1.0, 0.0, 1.0] and weights.tolist() == [1.0] * 3


def test_one_looks_at_no_reward():
    values, weights = One()(torch.tensor([5.0, -1.0]), torch.zeros(2).bool())
    assert values.tolist() == weights.tolist() == [1.0, 1.0]


def test_epsilon_must_be_positive():
    with pytest.raises(ValueError, match="epsilon must be > 0"):
        GroupNormalized(0.0)
