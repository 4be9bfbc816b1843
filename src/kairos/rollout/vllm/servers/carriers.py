"""How weights get from a training process to its servers: as files in a folder that both see, or over the network."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor

from kairos.core.ranks import total, world
from kairos.policy.language import LanguagePolicy
from kairos.rollout.vllm.servers.channel import Channel, meeting_place
from kairos.rollout.vllm.servers.client import Server, ServerFailed, together
from kairos.rollout.vllm.weights import BitSum, check_sums, listed_weights, live_weights

_FILE = 2 * 2**30
"""Bytes of a file, about: what is held on the host at once."""


class Carrier(Protocol):
    def carry(self, servers: Sequence[Server], policy: LanguagePolicy, version: str, dtype: torch.dtype) -> None:
        """Give every server the policy's weights in `dtype`. Every rank calls it, the main process sends.

        NotSynced where they did not arrive, ServerFailed where a server fails.
        """
        ...


class Files:
    """Safetensors files below `place` (None: in /dev/shm where there is one, else where temporary files are)."""

    def __init__(self, place: Path | None) -> None:
        self.place = place

    def carry(self, servers: Sequence[Server], policy: LanguagePolicy, version: str, dtype: torch.dtype) -> None:
        with written_weights(policy, dtype, self.place, write=rank() == 0) as (folder, sent):
            if rank() == 0:
                load = [functools.partial(one.load, str(folder), version, policy.towers.banned) for one in servers]
                _check(together(load)(), sent, dtype)
            total(torch.zeros(1))  # the others wait


class Network:
    """One tensor at a time, to all servers at once, by a `Channel` that is made at the first sync."""

    def __init__(self) -> None:
        self.channel: Channel | None = None

    def carry(self, servers: Sequence[Server], policy: LanguagePolicy, version: str, dtype: torch.dtype) -> None:
        if rank() == 0:
            channel = self.channel or self._met(servers, policy.device)
            listed, sums = listed_weights(policy), BitSum(dtype)
            wait = together([functools.partial(one.receive, listed, version, policy.towers.banned) for one in servers])
            try:
                for _, tensor in sums.passing(live_weights(policy)):
                    channel.pass_on(tensor.to(channel.device, dtype).contiguous())
            except RuntimeError as error:  # how torch says that another process is gone
                self.channel = None
                wait()  # a server that knows why says so
                raise ServerFailed(
                    f"the weights did not get to {', '.join(one.url for one in servers)}: {error}"
                ) from error
            _check(wait(), sums.value(), dtype)
        else:
            for _ in live_weights(policy):  # gathered where they are sharded
                pass
        total(torch.zeros(1))

    def _met(self, servers: Sequence[Server], device: torch.device) -> Channel:
        held = [one.holds() for one in servers]
        if wrong := [one.url for one, said in zip(servers, held, strict=True) if said["device"] != device.type]:
            raise ValueError(
                f"rollout.weights=network needs trainer and servers all on GPUs or all on CPUs, and the trainer is on "
                f"{device.type}, {', '.join(wrong)} not: take rollout.weights=files"
            )
        counts = [int(str(said["workers"])) for said in held]
        size, seconds = 1 + sum(counts), servers[0].seconds
        store, host = meeting_place([one.url for one in servers], size, seconds)
        firsts = [1 + sum(counts[:place]) for place in range(len(servers))]
        join = [
            functools.partial(one.join, host, store.port, first, size)
            for one, first in zip(servers, firsts, strict=True)
        ]
        wait = together(join)
        self.channel = Channel(store, 0, size, device, seconds)
        wait()
        return self.channel


def rank() -> int:
    return dist.get_rank() if world() > 1 else 0


@contextmanager
def written_weights(
    policy: LanguagePolicy, dtype: torch.dtype, place: Path | None, write: bool
) -> Iterator[tuple[Path, int]]:
    """A folder with every weight but the vision tower's, and the sum of their bits; removed at the end.

    With sharded weights every rank has to call this, and only one of them writes (`write`).
    """
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="kairos-weights-", dir=place or (memory if memory.is_dir() else None)))
    sums = BitSum(dtype)
    try:
        held: dict[str, Tensor] = {}
        count = 0
        with torch.no_grad():
            for name, tensor in sums.passing(live_weights(policy)):
                if not write:
                    continue
                held[name] = tensor.to("cpu", dtype).contiguous()
                if sum(part.nbytes for part in held.values()) >= _FILE:
                    save_file(held, folder / f"{count:04d}.safetensors")
                    held, count = {}, count + 1
        if held:
            save_file(held, folder / f"{count:04d}.safetensors")
        yield folder, sums.value()
    finally:
        shutil.rmtree(folder)


def _check(sums: Sequence[Sequence[int]], sent: int, dtype: torch.dtype) -> None:
    """NotSynced; where a server's workers hold parts of each tensor, its probe has to do."""
    for found in sums:
        if len(found) == 1:
            check_sums(sent, found[0], dtype)
