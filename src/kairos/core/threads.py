"""How many threads torch computes with on the host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


@contextmanager
def threads(count: int) -> Iterator[None]:
    """At most `count` inside, at least one."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(count, before)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_host_thread(device: torch.device) -> AbstractContextManager[None]:
    """One thread where a GPU computes: the host's tensors are small then, and waking all threads takes milliseconds."""
    return threads(1) if device.type == "cuda" else nullcontext()
