"""Advantages give the values of the papers, and nothing for equal rewards."""

from __future__ import annotations

import pytest
import torch

from kairos.credit.advantages import Anchored, Downscaled, GroupNormalized, LeaveOneOut, MeanCentred, One, PerGroup
from kairos.credit.annotation_as_rollout import AnnotationAsRollout
from kairos.credit.earned import earned
from kairos.credit.gates import MinimumSpread, NoGate
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


RAW = torch.tensor([*IOUS, 1.0]) + 0.1
OWN = torch.tensor([True] * 7 + [False])


def test_leave_one_out_compares_with_the_others():
    rewards = torch.tensor([0.0, 1.0, 5.0])
    values, weights = LeaveOneOut()(rewards, torch.ones(3).bool())
    assert values.tolist() == pytest.approx([-3.0, -1.5, 4.5]) and weights.tolist() == [1.0] * 3
    assert LeaveOneOut()(torch.tensor([3.0]), torch.ones(1).bool())[0].tolist() == [0.0]


def test_anchored_rows_of_the_policy_are_as_if_nothing_were_injected():
    values, weights = Anchored()(RAW, OWN)
    alone, _ = GroupNormalized(1e-6)(RAW[:7], OWN[:7])
    assert torch.equal(values[:7], alone)
    assert float(values[7]) == pytest.approx(1.2 * 1.2734, abs=1e-4)
    assert weights.tolist() == [1.0] * 8
    shuffled = torch.randperm(8)
    again, _ = Anchored()(RAW[shuffled], OWN[shuffled])
    assert torch.allclose(again, values[shuffled])


def test_anchoring_has_nothing_to_hold_on_to_where_rewards_are_equal_or_nobody_sampled():
    assert Anchored()(torch.tensor([0.3, 0.3, 1.0]), torch.tensor([True, True, False]))[0].tolist() == [0.0] * 3
    assert Anchored()(torch.tensor([0.3, 1.0]), torch.zeros(2).bool())[0].tolist() == [0.0] * 2


def test_downscaling_touches_injected_rewards_alone_and_caps_after_scaling():
    @PerGroup
    def shown(rewards: torch.Tensor, on_policy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return rewards, on_policy.float()

    def of_one_group(
        advantage: Downscaled, rewards: torch.Tensor, on_policy: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        (pair,) = advantage([rewards], [on_policy])
        return pair

    values, weights = of_one_group(Downscaled(shown), torch.tensor([0.5, 1.1, 1.1]), torch.tensor([True, True, False]))
    assert values.tolist() == pytest.approx([0.5, 1.1, 0.88]) and weights.tolist() == [1.0, 1.0, 0.0]
    capped, _ = of_one_group(Downscaled(shown, 1.0, cap=0.7), RAW, OWN)
    assert capped.tolist() == pytest.approx([*(RAW[:7]).tolist(), 0.7])
    scaled, _ = of_one_group(Downscaled(PerGroup(GroupNormalized(1e-6))), RAW, OWN)
    expected, _ = GroupNormalized(1e-6)(torch.cat([RAW[:7], RAW[7:] * 0.8]), OWN)
    assert torch.allclose(scaled, expected)


def test_an_annotation_as_rollout_follows_its_steps():
    """Step by step by hand, in float64, with the published numbers."""
    own = RAW[:7].double()
    centred, spread, everyone = own - own.mean(), own.std(unbiased=False), RAW.double().std(unbiased=False)
    gain = ((everyone / (spread + 1e-6)) ** 0.25).clamp(1, 4)
    stretched = torch.where(centred > 0, centred * gain, centred)
    stretched -= stretched.mean()
    worth = ((1.1 - own.mean()) / (1.1 + 1e-6)) ** 2
    injected = min(2 * float(worth), float((1.2 * stretched.max()).clamp(0.05, 1.0)))
    kept = torch.tensor([0.5 * stretched[0], 0.5 * stretched[1], stretched[6], injected])
    kept -= kept.mean()
    kept[3] = kept[3].clamp(min=0.0)
    scale = (stretched.square().mean().sqrt() / (kept.square().mean().sqrt() + 1e-6)).clamp(0.25, 1.0)
    values, weights = AnnotationAsRollout()(RAW, OWN)
    assert weights.tolist() == [1, 1, 0, 0, 0, 0, 1, 1]
    assert values[weights > 0].tolist() == pytest.approx((kept * scale).tolist(), abs=1e-6)
    assert not values[weights == 0].any()


@pytest.mark.parametrize("level", [0.0, 0.1, 0.3])
def test_of_equal_rewards_only_the_annotation_is_left_with_the_least_advantage(level):
    rewards = torch.tensor([level] * 4 + [1.0])
    values, weights = AnnotationAsRollout()(rewards, torch.tensor([True] * 4 + [False]))
    assert values.tolist() == pytest.approx([0, 0, 0, 0, 0.05]) and weights.tolist() == [0, 0, 0, 0, 1]


def test_an_annotation_worse_than_the_policy_is_never_pushed_down():
    rewards, on_policy = torch.tensor([0.9, 0.8, 1.0, 0.1]), torch.tensor([True, True, True, False])
    values, _ = AnnotationAsRollout()(rewards, on_policy)
    assert float(values[3]) >= 0.0 and float(values[2]) > 0.0 > float(values[1])


def test_without_an_annotation_the_estimator_is_the_distance_from_the_mean():
    values, weights = AnnotationAsRollout()(RAW[:7], OWN[:7])
    assert values.tolist() == pytest.approx((RAW[:7] - RAW[:7].mean()).tolist(), abs=1e-6)
    assert weights.tolist() == [1.0] * 7
    assert AnnotationAsRollout()(torch.tensor([1.0]), torch.tensor([False]))[0].tolist() == [0.0]


RULES = [LeaveOneOut(), Anchored(), AnnotationAsRollout(), MeanCentred(), GroupNormalized(), One()]


@pytest.mark.parametrize("advantage", [*map(PerGroup, RULES), Downscaled()], ids=repr)
@pytest.mark.parametrize("size", [1, 2, 8])
def test_every_estimator_is_finite_for_any_group(advantage, size):
    for rewards in (torch.zeros(size), torch.rand(size), torch.full((size,), -0.3)):
        for on_policy in (torch.ones(size).bool(), torch.zeros(size).bool(), torch.arange(size) > 0):
            ((values, weights),) = advantage([rewards], [on_policy])
            assert values.shape == weights.shape == (size,)
            assert torch.isfinite(values).all() and bool((weights >= 0).all())
            assert values.dtype == weights.dtype == torch.float32


def test_a_rule_is_applied_to_every_group_by_itself():
    groups = [torch.rand(size) for size in (4, 1, 8)]
    own = [torch.arange(len(rewards)) > 0 for rewards in groups]
    for advantage in (*map(PerGroup, RULES), Downscaled()):
        together = advantage(groups, own)
        for (values, weights), rewards, mine in zip(together, groups, own, strict=True):
            ((alone, alone_weights),) = advantage([rewards], [mine])
            assert torch.equal(values, alone) and torch.equal(weights, alone_weights)
        assert list(advantage([], [])) == [], "a rank may have no prompt that can be used"


def test_an_advantage_of_another_shape_than_its_groups_is_named():
    def short(rewards: torch.Tensor, on_policy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return rewards[1:], on_policy.float()

    rewards, own = [torch.rand(3), torch.rand(2)], [torch.ones(3).bool(), torch.ones(2).bool()]
    with pytest.raises(ValueError, match=r"groups of \[3, 2\] rollouts and gave .* of \[\(2, 3\), \(1, 2\)\]"):
        earned(PerGroup(short), NoGate(), rewards, own)
    with pytest.raises(ValueError, match=r"groups of \[3, 2\] rollouts and gave .* of \[\]"):
        earned(lambda rewards, on_policy: [], NoGate(), rewards, own)


def test_a_gate_weighs_what_the_advantage_weighed():
    rewards, own = [torch.tensor([0.2, 0.2]), torch.tensor([0.0, 1.0])], [torch.ones(2).bool()] * 2
    shut, open_ = earned(PerGroup(MeanCentred()), MinimumSpread(), rewards, own)
    assert (shut.gate, open_.gate) == (0.0, 1.0)
    assert shut.weights_G.tolist() == [0.0, 0.0] and open_.weights_G.tolist() == [1.0, 1.0]
    assert open_.unused().weights_G.tolist() == [0.0, 0.0] and open_.unused().advantages_G is open_.advantages_G


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Anchored(factor=0.0), "factor must be > 0"), (lambda: Anchored(epsilon=0.0), "epsilon must be > 0"),
        (lambda: Downscaled(scale=-1.0), "scale must be >= 0"),
        (lambda: AnnotationAsRollout(gain=0.5), "gain must be >= 1"),
        (lambda: AnnotationAsRollout(negatives=-1), "positives and negatives must be >= 0"),
        (lambda: AnnotationAsRollout(kappa=2.0), "kappa must lie"),
    ],
)  # fmt: skip
def test_an_estimator_checks_itself(build, message):
    with pytest.raises(ValueError, match=message):
        build()
