"""Context managers that limit how many CPU threads torch uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Inside this context torch uses at most `count` CPU threads, and at least one."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(count, before)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_host_thread(device: torch.device) -> AbstractContextManager[None]:
    """One CPU thread if `device` is a GPU: CPU tensors are small then, and waking threads takes milliseconds."""
    return threads(1) if device.type == "cuda" else nullcontext()
