"""The state of a policy with an adapter: trained tensors only, checked at loading against the same frozen weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _IncompatibleKeys

FACTS = "adapter_facts"
"""Name of an attribute of the policy (None without an adapter) and of an entry of its state, fp64 [2]: the adapter's
scaling, and a checksum of the frozen weights."""
_EVERY = 997


def facts(model: nn.Module, scaling: float) -> Tensor:
    """The adapter's scaling and a checksum, fp64 [2]: the sum of every 997th number of the frozen parameters."""
    frozen = [parameter.detach().reshape(-1) for parameter in model.parameters() if not parameter.requires_grad]
    sums = torch.stack([numbers[::_EVERY].sum(dtype=torch.float64) for numbers in frozen])
    return torch.stack([torch.full_like(sums[0], scaling), sums.sum()])


def save_only_trained(policy: nn.Module) -> None:
    """Where `policy.adapter_facts` is set, `state_dict` leaves out frozen parameters and buffers, and `load_state_dict`
    does not ask for them. Loading raises a ValueError when the adapter was trained over other frozen weights."""
    policy.register_state_dict_post_hook(_drop_frozen)
    policy.register_load_state_dict_pre_hook(_check_base)
    policy.register_load_state_dict_post_hook(_ignore_missing_frozen)


def _drop_frozen(policy: nn.Module, state: dict[str, Tensor], prefix: str, metadata: Mapping[str, object]) -> None:
    del metadata
    mine = cast("Tensor | None", getattr(policy, FACTS))
    if mine is not None:
        for name in _frozen(policy):
            state.pop(prefix + name, None)
        state[prefix + FACTS] = mine.clone()


def _check_base(policy: nn.Module, state: dict[str, Tensor], prefix: str, *others: object) -> None:
    del others
    mine = cast("Tensor | None", getattr(policy, FACTS))
    if mine is None:
        return
    saved = state.pop(prefix + FACTS, None)
    if saved is not None and not torch.allclose(saved.to(mine), mine, rtol=1e-6):
        raise ValueError(
            "the adapter was trained with another alpha / rank, or over other weights than policy.weights names now "
            f"(then {saved.tolist()}, now {mine.tolist()}): name those of its run"
        )


def _ignore_missing_frozen(policy: nn.Module, keys: _IncompatibleKeys) -> None:
    if getattr(policy, FACTS) is not None:
        frozen = _frozen(policy)
        keys.missing_keys[:] = [key for key in keys.missing_keys if not _ends_with_one_of(key, frozen)]


def _frozen(policy: nn.Module) -> set[str]:
    parameters = policy.named_parameters(remove_duplicate=False)
    buffers = policy.named_buffers(remove_duplicate=False)
    return {name for name, parameter in parameters if not parameter.requires_grad} | {name for name, _ in buffers}


def _ends_with_one_of(key: str, names: set[str]) -> bool:
    """Whether `key`, without the prefix of the module that holds the policy, is one of `names`."""
    parts = key.split(".")
    return any(".".join(parts[first:]) in names for first in range(len(parts)))
