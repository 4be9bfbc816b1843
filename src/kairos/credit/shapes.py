"""Shapes: functions [G] -> [G] of one raw reward term, applied before it is weighted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Identity:
    """The reward as it is."""

    def __call__(self, values_G: Tensor) -> Tensor:
        return values_G


@dataclass(frozen=True)
class LogExp:
    """Flatten rewards above `knee`, steepen them below it (TempSamp-R1, eq. 4). [G] -> [G], rewards in [0, 1].

    r >= knee: knee + above * ln(r - knee + 1); r < knee: knee - (e^(below (knee - r)) - 1) / (e^below - 1).

    >>> [round(x, 6) for x in LogExp()(torch.tensor([0.0, 0.5, 0.8, 1.0], dtype=torch.float64)).tolist()]
    [0.086764, 0.59639, 0.8, 0.801823]
    """

    knee: float = 0.8
    """The reward that stays as it is."""
    above: float = 0.01
    """Factor of the logarithm above the knee."""
    below: float = 1.0
    """Steepness of the exponential below the knee."""

    def __post_init__(self) -> None:
        if not 0 < self.knee <= 1:
            raise ValueError(f"knee must lie in (0, 1], got {self.knee}")
        if self.above < 0:
            raise ValueError(f"above must be >= 0, got {self.above}")
        if self.below <= 0:
            raise ValueError(f"below must be > 0, got {self.below}")

    def __call__(self, values_G: Tensor) -> Tensor:
        over_G = self.knee + self.above * torch.log1p((values_G - self.knee).clamp(min=0.0))
        under_G = self.knee - torch.expm1(self.below * (self.knee - values_G)) / math.expm1(self.below)
        return torch.where(values_G >= self.knee, over_G, under_G)


@dataclass(frozen=True)
class Power:
    """sign(r) * |r| ** exponent: above 1 it lowers mediocre rewards, below 1 it raises them."""

    exponent: float = 2.0

    def __post_init__(self) -> None:
        if self.exponent <= 0:
            raise ValueError(f"exponent must be > 0, got {self.exponent}")

    def __call__(self, values_G: Tensor) -> Tensor:
        return values_G.sign() * values_G.abs() ** self.exponent


@dataclass(frozen=True)
class Threshold:
    """1.0 at or above `at`, else 0.0."""

    at: float = 0.5

    def __call__(self, values_G: Tensor) -> Tensor:
        return (values_G >= self.at).to(values_G.dtype)
