"""FSDP2: where weights come to life, the policy sharded over a device mesh, and gathered whole for a roll-out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, runtime_checkable

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method


@runtime_checkable
class InBlocks(Protocol):
    """A policy that says which of its modules run one after the other, so that only one at a time need be whole."""

    def blocks(self) -> Sequence[nn.Module]: ...


def home(mesh: DeviceMesh | None) -> AbstractContextManager[object]:
    """Where weights come to life: on the mesh's own devices; drawn on one core of the host, 7B take minutes."""
    return nullcontext() if mesh is None else torch.device(mesh.device_type)


def shard(policy: nn.Module, mesh: DeviceMesh | None) -> None:
    """Shard parameters, gradients and moments over the mesh's data-parallel axis; nothing without a mesh.

    Block by block where the policy is `InBlocks`, and what is left as one. On GPUs blocks are gathered in bf16 and
    gradients summed in fp32; the shards, and so the optimiser, stay fp32.
    """
    if mesh is None:
        return
    for parameter in policy.parameters():
        parameter.data = parameter.data.contiguous()  # FSDP2 takes no other
    low = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    precision = low if mesh.device_type == "cuda" else MixedPrecisionPolicy()
    for module in [*(policy.blocks() if isinstance(policy, InBlocks) else ()), policy]:
        fully_shard(module, mesh=mesh["data_parallel"], mp_policy=precision)
    register_fsdp_forward_method(policy, "sample")


@contextmanager
def gathered(policy: nn.Module) -> Iterator[None]:
    """Parameters whole inside, and they stay so: ranks decode different lengths, so no step may wait for the others."""
    sharded = [module for module in policy.modules() if isinstance(module, FSDPModule)]
    for module in sharded:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in sharded:
            module.set_reshard_after_forward(module is not policy, recurse=False)
            module.reshard()
