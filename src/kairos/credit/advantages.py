"""Advantages: how much better than its group a rollout was. (rewards_G, on_policy_G) -> (advantages_G, weights_G)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
class One:
    """Every row counts the same, whatever its reward: supervised learning."""

    def __call__(self, rewards_G: Tensor, on_policy_G: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones(len(rewards_G)), torch.ones(len(rewards_G))


def _centred(rewards_G: Tensor) -> Tensor:
    rewards_G = rewards_G.double()
    return rewards_G - rewards_G.mean()
