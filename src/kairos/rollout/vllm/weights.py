"""Takes a policy's live weights to vLLM, one tensor at a time, and proves that they arrived."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from kairos.policy.language import LanguagePolicy
from kairos.rollout.vllm.theirs import Model


class NotSynced(RuntimeError):
    """vLLM holds other weights than the policy."""


@torch.no_grad()
def send(policy: LanguagePolicy, receiver: Model, dtype: torch.dtype) -> None:
    """Copy the text tower and the head into vLLM, whose weights have `dtype`, and compare both sides bit for bit.

    Every tensor is whole when it is sent: a sharded one is gathered, an adapter is merged. NotSynced where a parameter
    of vLLM was not written, or holds other bits.
    """
    sent = BitSum(dtype)
    arrived = take(receiver, sent.passing(live_weights(policy)), dtype)
    check_sums(sent.value(), arrived, dtype)


@torch.no_grad()
def take(receiver: Model, named: Iterable[tuple[str, Tensor]], dtype: torch.dtype) -> int:
    """Load weights into vLLM's model; the sum of the bits that it holds then. NotSynced where one was not written."""
    loaded = receiver.load_weights(named)
    held = dict(receiver.named_parameters())
    if missing := sorted(set(held) - loaded):
        raise NotSynced(
            f"the policy has no weights for {len(missing)} parameters of vLLM's model, such as {missing[0]}"
        )
    arrived = BitSum(dtype)
    for parameter in held.values():
        arrived.add(parameter.data)
    return arrived.value()


def check_sums(sent: int, arrived: int, dtype: torch.dtype) -> None:
    """NotSynced where vLLM holds other bits than were sent."""
    if sent != arrived:
        raise NotSynced(
            f"after the weights were sent, vLLM's sum to {arrived} and the policy's to {sent} (bits of "
            f"{dtype}): some were not copied"
        )


def live_weights(policy: LanguagePolicy) -> Iterator[tuple[str, Tensor]]:
    """(name in a checkpoint, whole tensor) of every weight but those of the vision tower; tied ones once."""
    modules = policy.towers.model.named_modules()
    adapted = {name: module for name, module in modules if isinstance(module, LoraLinear)}
    for name, parameter in _sent(policy):
        tensor, owner = _whole(parameter), name.removesuffix(".base_layer.weight")
        if owner in adapted and owner != name:
            tensor = _merged(tensor, adapted[owner])
        yield name.replace(".base_layer.", "."), tensor


def listed_weights(policy: LanguagePolicy) -> list[tuple[str, list[int]]]:
    """(name, shape) of what `live_weights` yields, in its order; nothing is gathered or merged."""
    return [(name.replace(".base_layer.", "."), list(parameter.shape)) for name, parameter in _sent(policy)]


def _sent(policy: LanguagePolicy) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of the text tower and the head, but an adapter's, under the names that they have now."""
    vision = {id(parameter) for parameter in policy.towers.vision.parameters()}
    for name, parameter in policy.towers.model.named_parameters():
        if id(parameter) not in vision and ".lora_" not in name:
            yield name, parameter


def _merged(weight: Tensor, layer: LoraLinear) -> Tensor:
    """W + scaling * B A, as an export merges it."""
    a, b = (_whole(cast("nn.Linear", part["default"]).weight).float() for part in (layer.lora_A, layer.lora_B))
    return (weight.float() + layer.scaling["default"] * (b @ a)).to(weight.dtype)


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor.detach()


class BitSum:
    """The sum of tensors' bit patterns in `dtype`: equal for the same numbers in any order, cut or joined."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype, self.bits = dtype, {2: torch.int16, 4: torch.int32}[dtype.itemsize]
        self.sums: list[Tensor] = []

    def add(self, tensor: Tensor) -> None:
        self.sums.append(tensor.to(self.dtype).contiguous().view(self.bits).sum(dtype=torch.int64))

    def passing(self, named: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        """The same tensors, counted on their way."""
        for name, tensor in named:
            self.add(tensor)
            yield name, tensor

    def value(self) -> int:
        """Waits for the GPU once."""
        return int(torch.stack(self.sums).sum()) if self.sums else 0
