"""The tensors that a module holds now, under the names of its `state_dict`, without that method's hooks."""

from __future__ import annotations

from torch import Tensor, nn


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers, detached, in the order of `state_dict`.

    A `state_dict` of a module that FSDP2 has gathered shards it again; what it gives then is whole on no rank.
    """
    found: dict[str, Tensor] = {}
    for place, part in module.named_modules(remove_duplicate=False):
        lasting = {name: held for name, held in part._buffers.items() if name not in part._non_persistent_buffers_set}
        for name, held in {**part._parameters, **lasting}.items():
            if held is not None:
                found[f"{place}.{name}" if place else name] = held.detach()
    return found
