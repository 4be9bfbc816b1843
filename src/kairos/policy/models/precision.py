"""Chooses bf16 on a GPU for compute and for frozen parameters; trained parameters stay fp32."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.distributed.tensor import DTensor


def compute_precision(device: torch.device) -> AbstractContextManager[object]:
    """Autocast to bf16 on a GPU; on a CPU a context that does nothing."""
    return torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else nullcontext()


def lower_frozen(parameters: Iterable[nn.Parameter]) -> None:
    """Cast frozen fp32 parameters on a GPU to bf16, in place. Sharded ones stay: FSDP2 needs one dtype in a block."""
    for parameter in parameters:
        lasting = parameter.requires_grad or isinstance(parameter, DTensor)
        if parameter.is_cuda and not lasting and parameter.dtype == torch.float32:
            parameter.data = parameter.data.to(torch.bfloat16)
