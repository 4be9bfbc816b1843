"""Runs single training steps of the toy policy, outside a trainer's loop."""

from __future__ import annotations

import torch
from helpers.running import TOY
from torch import Tensor

from kairos.compose import build
from kairos.core.types import PromptBatch
from kairos.data.toy import ToyGrounding
from kairos.train.grpo import GRPOModule


def attached(*overrides: str) -> GRPOModule:
    """A module with an optimiser but no trainer, for single steps."""
    built = build(
        [*TOY, "name=step", "objective=surrogate", "optimizer=sgd", "optimizer.learning_rate=1.0", *overrides]
    )
    module = built.module
    module.configure_model()
    optimizer = module.optimizer.build(module.policy.parameters())
    module.optimizers = lambda: optimizer  # type: ignore[method-assign]
    module.manual_backward = lambda loss: loss.backward()  # type: ignore[method-assign]
    return module


def toy_batch(count: int) -> PromptBatch:
    data = ToyGrounding(prompts=8)
    return PromptBatch(tuple(data[index] for index in range(count)), torch.ones(count))


def stepped(module: GRPOModule, batch: PromptBatch) -> dict[str, Tensor]:
    module.training_step(batch, 0)
    return {name: value.clone() for name, value in module.policy.state_dict().items()}
