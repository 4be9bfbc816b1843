"""Joins the processes that torchrun started, for commands without a Lightning trainer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

_PATIENCE = timedelta(days=7)  # one process may have far more to answer than another; torchrun ends them if one dies


@contextmanager
def joined() -> Iterator[None]:
    """Inside this context torchrun's processes are one group that exchanges small objects, each with its own GPU.

    Without torchrun nothing changes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "LOCAL_RANK" not in os.environ or dist.is_initialized():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()
