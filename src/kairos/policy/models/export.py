"""Writes a model as a Hugging Face folder, which transformers and vLLM load."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kairos.policy.models.building import Adapter


def export(
    model: PreTrainedModel, folder: Path, dtype: torch.dtype | None, adapter: Adapter | None, base: str | None
) -> None:
    """Write configuration and safetensors (in `dtype` where given) to `folder`.

    An adapter over `base` goes to `adapter/` in peft's form and is merged into the weights; where `adapter.merge` is
    false, only `adapter/` is written.
    """
    if adapter is not None:
        adapter.save(model, folder / "adapter", base)
        if not adapter.merge:
            return
    whole = model.state_dict() if adapter is None else adapter.merged(model)
    cast_once: dict[int, Tensor] = {}  # tied weights stay one tensor, and are stored once
    state = {
        name: cast_once.setdefault(tensor.data_ptr(), tensor if dtype is None else tensor.to(dtype))
        for name, tensor in whole.items()
    }
    model.save_pretrained(str(folder), state_dict=state)
