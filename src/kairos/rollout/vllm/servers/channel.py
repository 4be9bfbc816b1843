"""Sends weights from a trainer to the workers of its servers over the network: NCCL between GPUs, gloo between CPUs.

A process group of its own beside the trainer's: the trainer is its rank 0, every worker of every server a further one.
"""

# pyright: reportPrivateImportUsage=false, reportAttributeAccessIssue=false
from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from datetime import timedelta
from urllib.parse import urlsplit

import torch
import torch.distributed as dist
from torch import Tensor

Listed = Sequence[tuple[str, Sequence[int]]]
"""(name, shape) of every tensor, in the order in which they are sent."""


class Channel:
    """One end: `rank` of `size` processes that meet at `store`. Tensors live on `device`."""

    def __init__(self, store: dist.TCPStore, rank: int, size: int, device: torch.device, seconds: float) -> None:
        self.device, limit = device, timedelta(seconds=seconds)
        if device.type == "cuda":
            options = dist.ProcessGroupNCCL.Options()
            options._timeout = limit
            self.group: dist.ProcessGroupNCCL | dist.ProcessGroupGloo = dist.ProcessGroupNCCL(
                store, rank, size, options
            )
        else:
            self.group = dist.ProcessGroupGloo(store, rank, size, limit)

    @classmethod
    def joined(cls, host: str, port: int, rank: int, size: int, device: torch.device, seconds: float) -> Channel:
        """A worker's end, at the trainer's store."""
        store = dist.TCPStore(host, port, size, False, timedelta(seconds=seconds))
        return cls(store, rank, size, device, seconds)

    def pass_on(self, tensor: Tensor) -> Tensor:
        """Rank 0's tensor, on every rank, written in place."""
        options = dist.BroadcastOptions()
        options.rootRank = 0
        self.group.broadcast([tensor], options).wait()
        return tensor

    def incoming(self, listed: Listed, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
        """What rank 0 passes on, under its names."""
        for name, shape in listed:
            yield name, self.pass_on(torch.empty(*shape, dtype=dtype, device=self.device))


def meeting_place(servers: Sequence[str], size: int, seconds: float) -> tuple[dist.TCPStore, str]:
    """A store on a free port of this host, and the address at which the first server reaches it."""
    first = urlsplit(servers[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # nothing is sent: only the route is looked up
        probe.connect((first.hostname or "127.0.0.1", first.port or 80))
        host = str(probe.getsockname()[0])
    store = dist.TCPStore(host, 0, size, True, timedelta(seconds=seconds), wait_for_workers=False)
    return store, host
