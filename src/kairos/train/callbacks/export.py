"""Exports the trained policy as a Hugging Face folder, for `from_pretrained`, vLLM and `policy.weights`."""

from __future__ import annotations

from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from kairos.core.seals import replacing_state_folder
from kairos.policy.models.export import HasFolder
from kairos.train.callbacks.fitted import module_of
from kairos.train.devices import sharding
from kairos.video.budget import PixelBudget


class Export(Callback):
    """Exports in `dtype` (torch's name); does nothing for a policy without Hugging Face form, such as the toy.

    `budget`: of the pixels that the policy is trained with.
    """

    def __init__(self, folder: str, dtype: str = "bfloat16", budget: PixelBudget | None = None) -> None:
        found = getattr(torch, dtype, None)
        if not isinstance(found, torch.dtype):
            raise ValueError(f"callbacks.export.dtype must be one of torch's types, such as bfloat16, got {dtype!r}")
        self.folder, self.dtype, self.budget = folder, found, budget

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        policy = module_of(pl_module).policy
        if isinstance(policy, HasFolder):
            with sharding.gathered(policy):
                if trainer.is_global_zero:
                    with replacing_state_folder(Path(self.folder)) as folder:
                        policy.save_pretrained(str(folder), self.dtype, self.budget)
