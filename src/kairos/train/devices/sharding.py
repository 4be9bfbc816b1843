"""FSDP2: where weights are created, how the policy is sharded, and how it is gathered for a roll-out."""

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
    """A policy that lists the modules that run one after the other: only one at a time has to be gathered."""

    def blocks(self) -> Sequence[nn.Module]: ...


def home(mesh: DeviceMesh | None) -> AbstractContextManager[object]:
    """Create weights on the mesh's own devices: initialising 7B parameters on one CPU core takes minutes."""
    return nullcontext() if mesh is None else torch.device(mesh.device_type)


def shard(policy: nn.Module, mesh: DeviceMesh | None) -> None:
    """Shard parameters, gradients and moments over the mesh's data-parallel axis; nothing without a mesh.

    Each block of a policy that is `InBlocks` is sharded on its own, everything else as one. On GPUs blocks are gathered
    in bf16 and gradients are summed in fp32; the shards, and so the optimiser's state, stay fp32.
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
    """Inside, every rank keeps all parameters: answers differ in length, so no rank may wait for another's gather."""
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
