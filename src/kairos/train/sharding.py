"""FSDP2 in two verbs: shard the policy over a device mesh, and gather it whole for a roll-out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard


def shard(policy: nn.Module, mesh: DeviceMesh | None) -> None:
    """Shard the parameters over the mesh's data-parallel axis; nothing without a mesh."""
    if mesh is not None:
        for parameter in policy.parameters():
            parameter.data = parameter.data.contiguous()  # FSDP2 takes no other
        fully_shard(policy, mesh=mesh["data_parallel"])


@contextmanager
def gathered(policy: nn.Module) -> Iterator[None]:
    """Parameters whole inside: sampling calls other methods than `forward`, and ranks decode different lengths."""
    sharded = [module for module in policy.modules() if isinstance(module, FSDPModule)]
    for module in sharded:
        module.unshard()
    try:
        yield
    finally:
        for module in sharded:
            module.reshard()
