"""Which numbers are bf16: on a GPU, what is frozen and what is computed. What is trained stays fp32."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.distributed.tensor import DTensor


def compute_precision(device: torch.device) -> AbstractContextManager[object]:
    """bf16 under autocast on a GPU; on a CPU everything stays fp32."""
    return torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else nullcontext()


def lower_frozen(parameters: Iterable[nn.Parameter]) -> None:
    """Frozen fp32 parameters on a GPU turn bf16, in place, unless they are sharded: FSDP2 takes one dtype a block."""
    for parameter in parameters:
        lasting = parameter.requires_grad or isinstance(parameter, DTensor)
        if parameter.is_cuda and not lasting and parameter.dtype == torch.float32:
            parameter.data = parameter.data.to(torch.bfloat16)
