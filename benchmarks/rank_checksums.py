"""A callback that writes every rank's checksum of all weights to <run>/checksums.json after each iteration."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch.distributed.tensor import DTensor

from kairos.core.types import PromptBatch
from kairos.train.callbacks.ranks_agree import RanksAgree
from kairos.train.devices import ranks
from kairos.train.grpo import GRPOModule


class RankChecksums(RanksAgree):
    """Sums the bits of all weights as the ranks hold them, sharded ones gathered: equal sums are equal weights."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = Path(folder)

    def after_iteration(self, module: GRPOModule, batch: PromptBatch) -> None:
        mine = sum(_bits(parameter) for parameter in module.parameters())
        everyone = ranks.gather([mine])
        if ranks.rank() == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            found = {"iteration": module.iteration, "sums": everyone}
            (self.folder / "checksums.json").write_text(json.dumps(found) + "\n", encoding="utf-8")


def _bits(parameter: torch.Tensor) -> int:
    value = parameter.detach()
    whole = value.full_tensor() if isinstance(value, DTensor) else value
    kind = torch.int32 if whole.element_size() == 4 else torch.int16
    return int(whole.contiguous().view(kind).sum(dtype=torch.int64))
