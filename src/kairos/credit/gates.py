"""Gates: the weight of a whole group. A gate sets weights to zero; it drops no row."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class NoGate:
    """Every group counts, those of equal rewards too (TimeZero, Time-R1)."""

    def __call__(self, rewards_G: Tensor, on_policy_G: Tensor) -> float:
        return 1.0


@dataclass(frozen=True)
class MinimumSpread:
    """0.0 for a group whose rewards (largest minus smallest) spread less than `minimum`, else 1.0."""

    minimum: float = 1e-6
    injected: bool = False
    """Injected rows count too; otherwise only rows of the policy."""

    def __post_init__(self) -> None:
        if self.minimum <= 0:
            raise ValueError(f"minimum must be > 0 (gate=none keeps every group), got {self.minimum}")

    def __call__(self, rewards_G: Tensor, on_policy_G: Tensor) -> float:
        rewards = rewards_G if self.injected else rewards_G[on_policy_G]
        return float(len(rewards) > 1 and float(rewards.max() - rewards.min()) >= self.minimum)
