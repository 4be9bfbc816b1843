"""From the host to a device without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def carried(x: Tensor, device: torch.device | str) -> Tensor:
    """`x` on `device`. From pageable memory to a GPU the host would wait for all the work given before; so it goes
    through pinned memory, which torch keeps until the copy is done (and which its compiler does not know)."""
    if torch.device(device).type != "cuda" or x.is_cuda or torch.compiler.is_compiling():
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)
