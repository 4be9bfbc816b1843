"""Puts saved tensors into the shards of a rank, whatever world size saved them, and gathers shards into whole ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict, cast

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from kairos.policy.models.shards.reading import StoredTensor


class OptimizerState(TypedDict):
    """The state of torch's optimisers."""

    state: Mapping[int, Mapping[str, object]]
    param_groups: list[dict[str, object]]


def gathered(tree: object, kept: bool) -> object:
    """The tree with whole tensors on the host where `kept`, else None for each; every rank takes part."""
    if isinstance(tree, Tensor):
        whole = tree.full_tensor() if isinstance(tree, DTensor) else tree
        return whole.detach().cpu() if kept else None
    if isinstance(tree, Mapping):
        return {name: gathered(branch, kept) for name, branch in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(gathered(part, kept) for part in tree)
    return tree


def placed(name: str, saved: object, like: Tensor | None) -> Tensor:
    """A saved tensor as this rank holds it: sharded as `like` is, or whole. ValueError where their shapes differ."""
    if not isinstance(saved, Tensor | StoredTensor):
        raise ValueError(f"{name} in the checkpoint is no tensor, but a {type(saved).__name__}")
    if like is not None and tuple(saved.shape) != tuple(like.shape):
        raise ValueError(
            f"{name} is {tuple(saved.shape)} in the checkpoint and {tuple(like.shape)} here: the policy is another one"
        )
    if not isinstance(like, DTensor):
        return saved.whole() if isinstance(saved, StoredTensor) else saved
    offset, shape = box(like)
    if isinstance(saved, StoredTensor):
        local = saved.box(offset, shape)
    else:
        local = saved[tuple(slice(first, first + size) for first, size in zip(offset, shape, strict=True))]
    return DTensor.from_local(
        local.to(like.to_local().device), like.device_mesh, like.placements,
        run_check=False, shape=like.shape, stride=like.stride(),
    )  # fmt: skip


def placed_moments(optimizer: torch.optim.Optimizer, saved: OptimizerState) -> OptimizerState:
    """An optimiser's saved state with moments sharded as its parameters are, which keep their order in every world."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in saved["param_groups"] for number in cast("list[int]", group["params"])]
    if len(numbers) != len(parameters):
        raise ValueError(
            f"the checkpoint's optimiser has {len(numbers)} parameters and this one {len(parameters)}: the policy, or "
            "what is trained of it (policy.freeze, adapter), is another one"
        )
    like = dict(zip(numbers, parameters, strict=True))
    state = {
        number: {
            name: placed(f"{name} of parameter {number}", value, None if _shape(value) == () else like[number])
            if isinstance(value, Tensor | StoredTensor)
            else value
            for name, value in moments.items()
        }
        for number, moments in saved["state"].items()
    }
    return {"state": state, "param_groups": saved["param_groups"]}


def box(tensor: DTensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where this rank's shard begins in the whole tensor, and its shape."""
    (chunk,) = tensor.__create_chunk_list__()
    return tuple(chunk.offsets), tuple(chunk.sizes)


def _shape(value: object) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor | StoredTensor) else None
