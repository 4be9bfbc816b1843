"""FSDP2: creates weights on the devices, shards the policy, and gathers it for a roll-out.

A frozen vision tower is not sharded. Its features are stored, so ranks run it for other numbers of clips: they could
not gather its blocks in step. Held in bf16 on every device it is as large as its fp32 shards of two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, runtime_checkable

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
    register_fsdp_forward_method,
)

REPLICAS, SHARDS = "replicas", "shards"
"""Axes of a mesh of several replicas, each sharded over as many devices."""


@runtime_checkable
class InBlocks(Protocol):
    """A policy that lists the modules that run one after another, so that FSDP2 gathers one at a time."""

    def blocks(self) -> Sequence[nn.Module]: ...


@runtime_checkable
class KeepsWhole(Protocol):
    """A policy with parameters that every device holds whole, because ranks use them at different times."""

    def kept_whole(self) -> Sequence[nn.Parameter]: ...


def home(mesh: DeviceMesh | None) -> AbstractContextManager[object]:
    """Inside this context weights are created on the mesh's devices: on a CPU core 7B parameters take minutes."""
    return nullcontext() if mesh is None else torch.device(mesh.device_type)


def shard(policy: nn.Module, mesh: DeviceMesh, offload: bool = False) -> None:
    """Shard parameters, gradients and moments over the mesh, or over its last axis with replicas along the first.

    Each block of a policy that is `InBlocks` is a unit of its own, all other parameters are one. On GPUs parameters are
    gathered in bf16 and gradients summed in fp32; shards and optimiser state stay fp32. With `offload` they lie in the
    host's memory.
    """
    for parameter in policy.parameters():
        parameter.data = parameter.data.contiguous()  # FSDP2 takes no other
    low = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    precision = low if mesh.device_type == "cuda" else MixedPrecisionPolicy()
    where = CPUOffloadPolicy(pin_memory=mesh.device_type == "cuda") if offload else OffloadPolicy()
    over = mesh if REPLICAS in (mesh.mesh_dim_names or ()) else mesh["data_parallel"]
    whole = set(policy.kept_whole()) if isinstance(policy, KeepsWhole) else set[nn.Parameter]()
    for module in [*(policy.blocks() if isinstance(policy, InBlocks) else ()), policy]:
        fully_shard(module, mesh=over, mp_policy=precision, offload_policy=where, ignored_params=whole)
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
