"""Advantages: how much better than expected a rollout was. Most are a rule for one group, which `PerGroup` applies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kairos.core.protocols import Advantage, GroupRule
from kairos.credit.earned import refuse_group_rule


@dataclass(frozen=True)
class PerGroup:
    """Every group by itself: `rule` gets the rewards [G] of one group and its rows that the policy wrote [G].

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

    A group of one has no spread to compare with: its advantage is 0. Computed in float64, so equal rewards give 0.
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
    """(r - mean) / (std + epsilon) over the policy's rows alone: an injected row shifts nothing (TempSamp-R1).

    An injected row gets `factor` times the largest advantage of the policy's rows, so 0 where these do not differ;
    without any row of the policy every advantage is 0. std is unbiased.
    """

    factor: float = 1.2
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
    """Multiplies injected rewards by `scale`, cuts them to `cap`, and lets `advantage` see the rest (TempSamp-R1).

    The paper scales to 80 % of the largest reward, which an annotation earns; the released code has a scale (1) and a
    cap (none).
    """

    advantage: Advantage = field(default_factory=lambda: PerGroup(GroupNormalized()))
    scale: float = 0.8
    cap: float | None = None

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
    """Every row counts the same, whatever its reward: supervised learning."""

    def __call__(self, rewards_G: Tensor, on_policy_G: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones(len(rewards_G)), torch.ones(len(rewards_G))


def _centred(rewards_G: Tensor) -> Tensor:
    rewards_G = rewards_G.double()
    return rewards_G - rewards_G.mean()
