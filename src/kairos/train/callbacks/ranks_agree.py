"""Checks once that all processes train the same weights: otherwise a wrongly sharded run diverges silently."""

from __future__ import annotations

import torch
from lightning.pytorch.callbacks import Callback
from torch.distributed.tensor import DTensor

from kairos.core.types import PromptBatch
from kairos.train.devices import ranks
from kairos.train.grpo import GRPOModule
from kairos.train.iteration import Turn


class RanksAgree(Callback):
    """Compares a checksum of all weights between ranks after the first iteration of a run or a resume.

    Sharded weights are gathered from the shards of this rank's own replica, so that replicas are compared too.
    """

    turn = Turn.READ

    def __init__(self) -> None:
        self._checked = False

    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        if self._checked or ranks.world() == 1:
            return
        self._checked = True
        sums = [_whole(parameter).double().sum().item() for parameter in module.parameters()]
        everyone = ranks.gather([sums])
        if any(other != everyone[0] for other in everyone):
            raise ValueError(
                "the ranks hold different weights after one iteration: the strategy does not average gradients over "
                "all processes: say strategy=ddp, fsdp2 or hsdp"
            )


def _whole(parameter: torch.Tensor) -> torch.Tensor:
    value = parameter.detach()
    return value.full_tensor() if isinstance(value, DTensor) else value
