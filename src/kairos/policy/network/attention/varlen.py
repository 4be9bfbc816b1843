"""Attention over packed tokens as they lie, without padding, masks or copied keys: for a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.attention._fa3 import register_flash_attention_fa3
from torch.nn.attention._fa4 import register_flash_attention_fa4
from torch.nn.attention._registry import FlashAttentionHandle

from kairos.core.carry import carried
from kairos.policy.network.attention.gathered_sdpa import Gathered
from kairos.policy.network.attention.shared_prompt_op import attend
from kairos.policy.network.kernels.choices import automatic_attention, flash_attention
from kairos.policy.network.kernels.dispatch import FLASH_PACKAGES, Choice, Machine, flash_module, packs
from kairos.policy.network.segments import Segments, starts


class AttentionPlan(Protocol):
    """`(q_NHD, k_NHD, v_NHD, scale) -> [N, H, D]`: prompts causally, rows over their prompt and themselves."""

    def __call__(self, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float, /) -> Tensor: ...


class Attention(Protocol):
    """How packed tokens attend: `Gathered`, `Varlen`, or `Automatic`, which picks one by device."""

    def plan(self, segments: Segments, device: torch.device, /) -> AttentionPlan: ...

    def choice(self, machine: Machine, /) -> Choice:
        """Which kernels that takes on a machine, and why."""
        ...


class VarlenPlan(NamedTuple):
    """Cuts and lengths as `attend` takes them."""

    own_cuts: Tensor
    group_cuts: Tensor
    seen_cuts: Tensor
    seen_index: Tensor | None
    base: int
    longest: list[int]

    def __call__(self, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float) -> Tensor:
        q, k = q_NHD.to(v_NHD.dtype), k_NHD.to(v_NHD.dtype)
        v = v_NHD.contiguous()  # kept for the backward pass: not with the memory of all that it was computed with
        return attend(q, k, v, *self, scale)


@dataclass(frozen=True)
class Varlen:
    """`plan(segments, device) -> VarlenPlan`. On a GPU queries, keys and values must be bf16 or fp16.

    `implementation`: None for the flash kernels that torch was built with (FlashAttention-2), "FA3" or "FA4" for those
    of the packages flash-attn-3 (xformers 0.0.34 brings the same) and flash-attn-4, which torch then uses wherever it
    attends. ValueError, once it is to attend, where they are not installed.
    """

    implementation: str | None = None

    def __post_init__(self) -> None:
        if self.implementation is not None and self.implementation not in FLASH_PACKAGES:
            raise ValueError(
                f"attn.implementation must be null or one of {[*FLASH_PACKAGES]}, got {self.implementation}"
            )

    def plan(self, segments: Segments, device: torch.device) -> VarlenPlan:
        if self.implementation is not None:
            _activate(self.implementation)
        own, rows = segments.own, [length for length in segments.rows if length]
        seen = [length for length, tokens in zip(segments.prompts, own, strict=True) if tokens]
        index = None
        if len(seen) < len(own):
            begins = starts(segments.prompts)
            picked = [torch.arange(a, b) for a, b, tokens in zip(begins[:-1], begins[1:], own, strict=True) if tokens]
            index = carried(torch.cat([torch.empty(0, dtype=torch.long), *picked]), device)

        def cuts(lengths: list[int]) -> Tensor:
            return carried(torch.tensor(starts(lengths), dtype=torch.int32), device)

        themselves = [*segments.prompts, *rows]
        together = [tokens for tokens in own if tokens]
        return VarlenPlan(
            cuts(themselves),
            cuts(together),
            cuts(seen),
            index,
            segments.base,
            [max(themselves), max(together, default=0), max(segments.prompts)],
        )

    def choice(self, machine: Machine) -> Choice:
        return flash_attention(self.implementation, machine)


_REGISTER: dict[str, Callable[..., FlashAttentionHandle]] = {
    "FA3": register_flash_attention_fa3,
    "FA4": register_flash_attention_fa4,
}
_ADAPTERS = {"flash_attn.cute": "kairos.policy.network.attention.flash_attention_4"}
"""Modules that torch is given in place of those whose functions it cannot call as they are."""


@cache
def _activate(implementation: str) -> None:
    """From now on torch attends with these kernels, in the whole process."""
    module = flash_module(implementation)
    register = partial(_REGISTER[implementation], module_path=_ADAPTERS.get(module, module))
    torch.nn.attention.register_flash_attention_impl(implementation, register_fn=register)
    torch.nn.attention.activate_flash_attention_impl(implementation)


@dataclass(frozen=True)
class Automatic:
    """`Varlen` on a GPU, where compute is bf16; `Gathered` elsewhere."""

    def plan(self, segments: Segments, device: torch.device) -> AttentionPlan:
        return (Varlen() if packs(device) else Gathered()).plan(segments, device)

    def choice(self, machine: Machine) -> Choice:
        return automatic_attention(machine)
