"""Attention over packed tokens through variable-length flash kernels: no padding, no masks, no copied keys."""

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
from kairos.policy.network.attention.shared_prompt_op import attend
from kairos.policy.network.kernels.choices import flash_attention, flash_lacking
from kairos.policy.network.kernels.dispatch import FLASH_PACKAGES, Choice, Machine, flash_module
from kairos.policy.network.segments import Segments, starts


class AttentionPlan(Protocol):
    """`(q_NHD, k_NHD, v_NHD, scale) -> [N, H, D]`: prompts attend causally, rows to their prompt and themselves."""

    def __call__(self, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float, /) -> Tensor: ...


class Attention(Protocol):
    """Attention over packed tokens: `Gathered`, `Varlen`, `Cudnn`, or `Automatic`, which picks one."""

    def plan(self, segments: Segments, device: torch.device, /) -> AttentionPlan:
        """Prepare the attention of these segments, once for all layers."""
        ...

    def choice(self, machine: Machine, /) -> Choice:
        """The kernels it takes on `machine`, and why."""
        ...

    def lacking(self, machine: Machine, /) -> str | None:
        """What `machine` lacks for these kernels; None if nothing is missing."""
        ...


class VarlenPlan(NamedTuple):
    """The segments as `shared_prompt_op.attend` takes them. Cuts are cumulative lengths."""

    own_cuts: Tensor
    """int32: cut all tokens by prompt and by row."""
    group_cuts: Tensor
    """int32: cut the rows' tokens by prompt."""
    seen_cuts: Tensor
    """int32: cut the tokens of the prompts that have row tokens."""
    seen_index: Tensor | None
    """int64: the tokens of these prompts; None where they are all prompts."""
    base: int
    """Tokens of all prompts."""
    longest: list[int]
    """The longest prompt or row, the longest group of rows, the longest prompt (tokens)."""

    def __call__(self, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float) -> Tensor:
        q, k = q_NHD.to(v_NHD.dtype), k_NHD.to(v_NHD.dtype)
        v = v_NHD.contiguous()  # kept for the backward pass: as a view it would keep the whole joint product alive
        return attend(q, k, v, *self, scale)


@dataclass(frozen=True)
class Varlen:
    """`plan(segments, device) -> VarlenPlan`. On a GPU queries, keys and values must be bf16 or fp16.

    `plan` raises a ValueError where the package of `implementation` is not installed.
    """

    implementation: str | None = None
    """None: torch's own FlashAttention-2. "FA3", "FA4": the kernels of the package flash-attn-3 (or xformers 0.0.34) or
    flash-attn-4; torch then uses them for all attention of the process."""

    def __post_init__(self) -> None:
        if self.implementation is not None and self.implementation not in FLASH_PACKAGES:
            raise ValueError(
                f"attn.implementation must be null or one of {[*FLASH_PACKAGES]}, got {self.implementation}"
            )

    def plan(self, segments: Segments, device: torch.device) -> VarlenPlan:
        if self.implementation is not None:
            use_kernels(self.implementation)
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

    def lacking(self, machine: Machine) -> str | None:
        return flash_lacking(self.implementation, machine)


_REGISTER: dict[str, Callable[..., FlashAttentionHandle]] = {
    "FA3": register_flash_attention_fa3,
    "FA4": register_flash_attention_fa4,
}
_ADAPTERS = {"flash_attn.cute": "kairos.policy.network.attention.flash_attention_4"}
"""For a package's module, the module of ours that torch can call in its place."""


def use_kernels(implementation: str | None) -> None:
    """Make torch use these kernels for all flash attention of this process; None: its own."""
    if implementation == torch.nn.attention.current_flash_attention_impl():
        return
    if implementation is None:
        torch.nn.attention.restore_flash_attention_impl()
        return
    _register(implementation)
    torch.nn.attention.activate_flash_attention_impl(implementation)


@cache
def _register(implementation: str) -> None:
    module = flash_module(implementation)
    register = partial(_REGISTER[implementation], module_path=_ADAPTERS.get(module, module))
    torch.nn.attention.register_flash_attention_impl(implementation, register_fn=register)
