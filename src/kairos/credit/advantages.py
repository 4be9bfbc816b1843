"""Advantages: how much better than its group each rollout was. Most are rules for one group, applied by `PerGroup`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kairos.core.protocols import Advantage, GroupRule
from kairos.credit.earned import refuse_group_rule


@dataclass(frozen=True)
class PerGroup:
    """Applies `rule` to each group separately: (rewards_G, on_policy_G) -> (advantages_G, weights_G).

    >>> [(advantages, _)] = PerGroup(MeanCentred())([torch.tensor([0.0, 1.0])], [torch.tensor([True, True])])
    >>> advantages.tolist()
    [-0.5, 0.5]
    """

    rule: GroupRule

    def __call__(self, rewards: Sequence[Tensor], on_policy: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        return [self.rule(rewards_G, own_G) for rewards_G, own_G in zip(rewards, on_policy, strict=True)]


@dataclass(frozen=True)
class GroupNormalized:
    """(r - mean) / (std + epsilon) over all rows of the group, injected ones included; std is unbiased (GRPO).

    A group of one gets advantage 0. Computed in float64, so equal rewards give exactly 0.
    """

    epsilon: float = 1e-4

    def __post_init__(self) -> None:
        if self.epsilon <= 0:
            raise ValueError(f"epsilon must be > 0, got {self.epsilon}")

    def __call__(self, rewards_G: Tensor, on_policy_G: Tensor) -> tuple[Tensor, Tensor]:
        centred_G = _centred(rewards_G)
        spread = centred_G.square().sum().div(max(1, len(rewards_G) - 1)).sqrt()
        return (centred_G / (spread + self.epsilon)).float(), torch.ones(len(rewards_G))


@dataclass(frozen=True)
class MeanCentred:
    """r - mean over all rows of the group (Dr.GRPO)."""

    def __call__(self, rewards_G: Tensor, on_policy_G: Tensor) -> tuple[Tensor, Tensor]:
        return _centred(rewards_G).float(), torch.ones(len(rewards_G))


@dataclass(frozen=True)
class LeaveOneOut:
    """r - mean of the other rows of the group (RLOO): G / (G - 1) * (r - mean); 0 in a group of one."""

    def __call__(self, rewards_G: Tensor, on_policy_G: Tensor) -> tuple[Tensor, Tensor]:
        size = len(rewards_G)
        return (_centred(rewards_G) * (size / max(1, size - 1))).float(), torch.ones(size)


@dataclass(frozen=True)
class Anchored:
    """(r - mean) / (std + epsilon), with mean and unbiased std of the policy's rows alone (TempSamp-R1).

    If no row is the policy's, every advantage is 0.
    """

    factor: float = 1.2
    """An injected row gets this times the largest advantage of the policy's rows."""
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        if self.factor <= 0:
            raise ValueError(f"factor must be > 0, got {self.factor}")
        if self.epsilon <= 0:
            raise ValueError(f"epsilon must be > 0, got {self.epsilon}")

    def __call__(self, rewards_G: Tensor, on_policy_G: Tensor) -> tuple[Tensor, Tensor]:
        advantages_G, weights_G = torch.zeros(len(rewards_G)), torch.ones(len(rewards_G))
        if bool(on_policy_G.any()):
            own, _ = GroupNormalized(self.epsilon)(rewards_G[on_policy_G], on_policy_G[on_policy_G])
            advantages_G[on_policy_G] = own
            advantages_G[~on_policy_G] = self.factor * own.max()
        return advantages_G, weights_G


@dataclass(frozen=True)
class Downscaled:
    """Scales down the rewards of injected rows, then applies `advantage` to all rows (TempSamp-R1).

    The paper scales to 80 % of the largest possible reward; the released code sets scale 1 and no cap.
    """

    advantage: Advantage = field(default_factory=lambda: PerGroup(GroupNormalized()))
    """Computes the advantages from the scaled rewards."""
    scale: float = 0.8
    """Factor of injected rewards."""
    cap: float | None = None
    """Most that an injected reward counts after scaling; None: no bound."""

    def __post_init__(self) -> None:
        refuse_group_rule(self.advantage)
        if self.scale < 0:
            raise ValueError(f"scale must be >= 0, got {self.scale}")

    def __call__(self, rewards: Sequence[Tensor], on_policy: Sequence[Tensor]) -> Sequence[tuple[Tensor, Tensor]]:
        scaled = [self._scaled(rewards_G, own_G) for rewards_G, own_G in zip(rewards, on_policy, strict=True)]
        return self.advantage(scaled, on_policy)

    def _scaled(self, rewards_G: Tensor, on_policy_G: Tensor) -> Tensor:
        scaled_G = rewards_G * self.scale
        scaled_G = scaled_G if self.cap is None else scaled_G.clamp(max=self.cap)
        return torch.where(on_policy_G, rewards_G, scaled_G)


@dataclass(frozen=True)
class One:
    """Advantage 1 for every row, whatever its reward: supervised learning."""

    def __call__(self, rewards_G: Tensor, on_policy_G: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones(len(rewards_G)), torch.ones(len(rewards_G))


def _centred(rewards_G: Tensor) -> Tensor:
    rewards_G = rewards_G.double()
    return rewards_G - rewards_G.mean()
