"""Writes a model, or a trained policy, as a Hugging Face folder, which transformers and vLLM load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from kairos.core.protocols import Policy
from kairos.core.seals import replacing_state_folder
from kairos.policy.models.building import Adapter
from kairos.policy.models.held import tensors_of
from kairos.video.budget import PixelBudget


def export(
    model: PreTrainedModel,
    folder: Path,
    dtype: torch.dtype | None,
    adapter: Adapter | None,
    base: str | None,
    generation: GenerationConfig,
) -> None:
    """Write configurations and safetensors (in `dtype` where given) to `folder`. OSError where the disk is full.

    `generation` takes the place of the model's own. An adapter over `base` goes to `adapter/` in peft's form and is
    merged into the weights; where `adapter.merge` is false, only `adapter/` is written.
    """
    if adapter is not None:
        adapter.save(model, folder / "adapter", base)
        if not adapter.merge:
            return
    whole = tensors_of(model) if adapter is None else adapter.merged(model)
    cast_once: dict[int, Tensor] = {}  # tied weights stay one tensor, and are stored once
    state = {
        name: cast_once.setdefault(tensor.data_ptr(), tensor if dtype is None else tensor.to(dtype))
        for name, tensor in whole.items()
    }
    try:
        model.save_pretrained(str(folder), state_dict=state)
    except SafetensorError as error:
        raise OSError(str(error)) from error
    generation.save_pretrained(str(folder))


@runtime_checkable
class HasFolder(Protocol):
    """A policy with a Hugging Face form."""

    def save_pretrained(
        self, folder: str | Path, dtype: torch.dtype | None = None, frames: PixelBudget | None = None
    ) -> None: ...


@dataclass(frozen=True)
class HuggingFaceFolder:
    """`(policy, folder, frames) -> what was written`: the policy's Hugging Face form.

    `frames` is the pixel budget that the policy was trained with."""

    dtype: str | None = "bfloat16"
    """torch's name; None: fp32."""

    def __post_init__(self) -> None:
        if self.dtype is not None and not isinstance(getattr(torch, self.dtype, None), torch.dtype):
            raise ValueError(f"as.dtype must be one of torch's types, such as bfloat16, or null, got {self.dtype!r}")

    def __call__(self, policy: Policy, folder: Path, frames: PixelBudget | None = None) -> str:
        """ValueError for a policy without that form."""
        if not isinstance(policy, HasFolder):
            raise ValueError(f"the run trained a {type(policy).__name__}, which has no Hugging Face form")
        with replacing_state_folder(folder) as unfinished:
            policy.save_pretrained(unfinished, None if self.dtype is None else getattr(torch, self.dtype), frames)
        return f"{folder}: {sorted(path.name for path in folder.iterdir() if not path.name.startswith('.'))}"
