"""Copies a tensor from the host to a GPU without making the host wait."""

from __future__ import annotations

import torch
from torch import Tensor


def carried(x: Tensor, device: torch.device | str) -> Tensor:
    """`x` on `device`, by way of pinned memory: a copy from pageable memory would wait for all queued GPU work.

    torch keeps the pinned memory until the copy is done. Its compiler does not support pinning: there a plain copy.
    """
    if torch.device(device).type != "cuda" or x.is_cuda or torch.compiler.is_compiling():
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)
