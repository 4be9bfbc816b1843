"""FSDP2: creates weights on the devices, shards the policy, and gathers it for a roll-out."""

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
    """A policy that lists the modules that run one after another, so that FSDP2 gathers one at a time."""

    def blocks(self) -> Sequence[nn.Module]: ...


def home(mesh: DeviceMesh | None) -> AbstractContextManager[object]:
    """Inside this context weights are created on the mesh's devices: on a CPU core 7B parameters take minutes."""
    return nullcontext() if mesh is None else torch.device(mesh.device_type)


def shard(policy: nn.Module, mesh: DeviceMesh | None) -> None:
    """Shard parameters, gradients and moments over the mesh's data-parallel axis; nothing without a mesh.

    Each block of a policy that is `InBlocks` is a unit of its own, all other parameters are one. On GPUs parameters are
    gathered in bf16 and gradients summed in fp32; shards and optimiser state stay fp32.
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
    """Inside this context every rank holds all parameters: answers differ in length, so ranks cannot gather in step."""
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
