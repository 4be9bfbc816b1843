"""Aggregations are their formulas, written out as loops, and do not care how a mini-batch is cut."""

from __future__ import annotations

import pytest
import torch

from kairos.objective.aggregations import FixedLength, GroupTokenMean, SequenceMean, TokenMean

GROUPS = [0, 0, 0, 1, 1, 2, 2, 2]
LENGTHS = [3, 1, 5, 2, 2, 4, 1, 5]
WEIGHTS = [1.0, 1.0, 0.0, 0.5, 2.0, 0.0, 0.0, 0.0]


def rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    mask_BA = (torch.arange(5)[None] < torch.tensor(LENGTHS)[:, None]).float()
    return mask_BA, torch.tensor(GROUPS), torch.tensor(WEIGHTS)


def by_hand(name: str, values: list[list[float]]) -> float:
    """The mean that the formula of the architecture names, one action at a time."""
    total = bottom = 0.0
    for i, (group, length, weight) in enumerate(zip(GROUPS, LENGTHS, WEIGHTS, strict=True)):
        of_group = sum(w * n for g, n, w in zip(GROUPS, LENGTHS, WEIGHTS, strict=True) if g == group)
        for j in range(length):
            share = {"token": weight, "sequence": weight / length, "group": weight / of_group if of_group else 0.0}
            total += values[i][j] * share.get(name, weight)
    if name == "token":
        bottom = sum(w * n for n, w in zip(LENGTHS, WEIGHTS, strict=True))
    elif name == "sequence":
        bottom = sum(WEIGHTS)
    elif name == "group":
        bottom = len({g for g, w in zip(GROUPS, WEIGHTS, strict=True) if w > 0})
    else:
        bottom = sum(WEIGHTS) * 7
    return total / bottom


NAMED = {"token": TokenMean(), "sequence": SequenceMean(), "group": GroupTokenMean(), "fixed": FixedLength(7)}


@pytest.mark.parametrize("name", NAMED)
def test_an_aggregation_is_its_formula(name):
    values_BA = torch.randn(8, 5)
    weight_BA, denominator = NAMED[name](*rows())
    assert weight_BA.shape == (8, 5) and denominator.shape == ()
    assert float((weight_BA * values_BA).sum() / denominator) == pytest.approx(
        by_hand(name, values_BA.tolist()), abs=1e-6
    )


@pytest.mark.parametrize("aggregation", [TokenMean(), SequenceMean(), GroupTokenMean()])
def test_a_mean_of_ones_is_one(aggregation):
    weight_BA, denominator = aggregation(*rows())
    assert float(weight_BA.sum() / denominator) == pytest.approx(1.0)


@pytest.mark.parametrize("aggregation", NAMED.values())
def test_a_row_of_weight_zero_counts_nowhere(aggregation):
    mask_BA, group_of_B, weights_B = rows()
    weight_BA, denominator = aggregation(mask_BA, group_of_B, weights_B)
    kept = weights_B > 0
    alone_BA, alone = aggregation(mask_BA[kept], group_of_B[kept], weights_B[kept])
    assert torch.equal(weight_BA[kept], alone_BA) and torch.equal(denominator, alone)
    assert not weight_BA[~kept].any()


@pytest.mark.parametrize("aggregation", NAMED.values())
def test_without_any_weight_the_denominator_is_zero_and_nothing_is_nan(aggregation):
    mask_BA, group_of_B, _ = rows()
    weight_BA, denominator = aggregation(mask_BA, group_of_B, torch.zeros(8))
    assert float(denominator) == 0.0 and not weight_BA.any()
    nothing_BA, _ = aggregation(torch.zeros_like(mask_BA), group_of_B, torch.ones(8))
    assert torch.isfinite(nothing_BA).all() and not nothing_BA.any()


@pytest.mark.parametrize("aggregation", NAMED.values())
def test_rows_may_come_in_any_order(aggregation):
    mask_BA, group_of_B, weights_B = rows()
    order = torch.randperm(8)
    weight_BA, denominator = aggregation(mask_BA, group_of_B, weights_B)
    shuffled_BA, same = aggregation(mask_BA[order], group_of_B[order], weights_B[order])
    assert torch.allclose(weight_BA[order], shuffled_BA) and torch.allclose(denominator, same)


def test_a_fixed_length_is_at_least_one_action():
    with pytest.raises(ValueError, match="length must be >= 1 action, got 0"):
        FixedLength(0)
