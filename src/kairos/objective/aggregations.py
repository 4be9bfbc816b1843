"""Aggregations: how much each action counts in the loss. (mask_BA, group_of_B, weights_B) -> (weight_BA, denominator).

loss = sum(weight_BA * term_BA) / denominator. An aggregation is called with a whole mini-batch, before it is split into
micro-batches; the caller sums denominators over ranks. A row of weight 0 adds nothing to either.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TokenMean:
    """w * mask over the sum of w * mask: every action counts the same (DAPO)."""

    def __call__(self, mask_BA: Tensor, group_of_B: Tensor, weights_B: Tensor) -> tuple[Tensor, Tensor]:
        weight_BA = _weighted(mask_BA, weights_B)
        return weight_BA, weight_BA.sum()


@dataclass(frozen=True)
class SequenceMean:
    """w * mask / length over the sum of w: every row counts the same, whatever its length (GRPO, TimeZero)."""

    def __call__(self, mask_BA: Tensor, group_of_B: Tensor, weights_B: Tensor) -> tuple[Tensor, Tensor]:
        length_B = mask_BA.sum(dim=1).clamp(min=1)
        return _weighted(mask_BA, weights_B / length_B), weights_B.sum()


@dataclass(frozen=True)
class GroupTokenMean:
    """w * mask / (its group's sum of w * mask) over the number of groups of positive weight (Time-R1)."""

    def __call__(self, mask_BA: Tensor, group_of_B: Tensor, weights_B: Tensor) -> tuple[Tensor, Tensor]:
        weight_BA = _weighted(mask_BA, weights_B)
        group_of_B = group_of_B.to(weight_BA.device)
        groups = int(group_of_B.max()) + 1 if len(group_of_B) else 0
        total_P = weight_BA.new_zeros(groups).index_add_(0, group_of_B, weight_BA.sum(dim=1))
        share_P = total_P.where(total_P > 0, total_P.new_ones(()))
        return weight_BA / share_P[group_of_B][:, None], (total_P > 0).sum().to(weight_BA.dtype)


@dataclass(frozen=True)
class FixedLength:
    """w * mask over the sum of w * `length`: no division by what was sampled (Dr.GRPO). `length` in actions."""

    length: int

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length must be >= 1 action, got {self.length}")

    def __call__(self, mask_BA: Tensor, group_of_B: Tensor, weights_B: Tensor) -> tuple[Tensor, Tensor]:
        return _weighted(mask_BA, weights_B), weights_B.sum() * self.length


def _weighted(mask_BA: Tensor, weights_B: Tensor) -> Tensor:
    return weights_B[:, None] * mask_BA
