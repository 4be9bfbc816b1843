"""The optimiser: AdamW or SGD, with a learning-rate schedule over iterations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.nn import Parameter

SCHEDULES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class Optimizer:
    """AdamW or SGD. The learning rate rises linearly over the warm-up, then follows the schedule."""

    learning_rate: float = 1e-6
    """The highest one."""
    kind: str = "adamw"
    """adamw or sgd."""
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    warmup: float = 0
    """Iterations; below 1 a share of the run, rounded down to iterations."""
    schedule: str = "constant"
    """One of `SCHEDULES`."""
    floor: float = 0.0
    """Share of the learning rate at the end of the schedule."""

    def __post_init__(self) -> None:
        if self.kind not in ("adamw", "sgd"):
            raise ValueError(f"optimizer.kind must be adamw or sgd, got {self.kind!r}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"optimizer.schedule must be one of {', '.join(SCHEDULES)}, got {self.schedule!r}")
        for name in ("learning_rate", "weight_decay", "warmup"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"optimizer.{name} must be >= 0, got {getattr(self, name)}")
        if not 0 <= self.floor <= 1:
            raise ValueError(f"optimizer.floor is a share of the learning rate, in [0, 1], got {self.floor}")

    def build(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """The optimiser over the parameters that require gradients."""
        trainable = [parameter for parameter in parameters if parameter.requires_grad]
        if not trainable:
            raise ValueError("no parameter requires a gradient: unfreeze a part of the policy (policy.freeze)")
        if self.kind == "sgd":
            return torch.optim.SGD(trainable, lr=self.learning_rate, weight_decay=self.weight_decay)
        return torch.optim.AdamW(
            trainable,
            lr=self.learning_rate,
            betas=(self.betas[0], self.betas[1]),
            weight_decay=self.weight_decay,
            fused=all(parameter.is_cuda for parameter in trainable) or None,
        )

    def rate(self, iteration: int, iterations: int) -> float:
        """The learning rate of one iteration: a pure function, so there is no scheduler state to save."""
        warmup = int(self.warmup * iterations) if self.warmup < 1 else int(self.warmup)
        if iteration < warmup:
            return self.learning_rate * (iteration + 1) / warmup
        done = (iteration - warmup) / max(1, iterations - warmup)
        factor = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}[
            self.schedule
        ]
        return self.learning_rate * (self.floor + (1.0 - self.floor) * factor)
