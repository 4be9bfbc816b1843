"""Exports the trained policy as a Hugging Face folder, for `from_pretrained`, vLLM and `policy.weights`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from kairos.core.seals import replacing_state_folder
from kairos.train.callbacks.fitted import module_of
from kairos.train.devices import sharding
from kairos.video.budget import PixelBudget


@runtime_checkable
class Exportable(Protocol):
    def save_pretrained(
        self, folder: str, dtype: torch.dtype | None = None, frames: PixelBudget | None = None
    ) -> None: ...


class Export(Callback):
    """Exports in `dtype` (torch's name); does nothing for a policy without Hugging Face form, such as the toy.

    `frames` is the pixel budget that the policy is trained with."""

    def __init__(self, folder: str, dtype: str = "bfloat16", frames: PixelBudget | None = None) -> None:
        found = getattr(torch, dtype, None)
        if not isinstance(found, torch.dtype):
            raise ValueError(f"callbacks.export.dtype must be one of torch's types, such as bfloat16, got {dtype!r}")
        self.folder, self.dtype, self.frames = folder, found, frames

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        policy = module_of(pl_module).policy
        if isinstance(policy, Exportable):
            with sharding.gathered(policy):
                if trainer.is_global_zero:
                    with replacing_state_folder(Path(self.folder)) as folder:
                        policy.save_pretrained(str(folder), self.dtype, self.frames)
