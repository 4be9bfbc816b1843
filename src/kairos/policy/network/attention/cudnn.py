"""Attention that leaves long prompts to cuDNN's dense kernels and everything else to the flash kernels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from kairos.policy.network.attention.dense_prompt import STEP, Cut, attend_densely, cut
from kairos.policy.network.attention.varlen import AttentionPlan, Varlen, VarlenPlan
from kairos.policy.network.kernels.choices import cudnn_attention
from kairos.policy.network.kernels.dispatch import Choice, Machine
from kairos.policy.network.segments import Segments

_WIDEST = 128  # of a head that cuDNN differentiates on Hopper


class CudnnPlan(NamedTuple):
    """One prompt and its rows, cut for `attend_densely`."""

    cut: Cut
    rest: VarlenPlan
    """The tokens from `cut.keys` on."""
    whole: VarlenPlan
    """All tokens: for wider heads, and under torch.compile."""

    def __call__(self, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float) -> Tensor:
        if torch.compiler.is_compiling() or q_NHD.shape[2] > _WIDEST:
            return self.whole(q_NHD, k_NHD, v_NHD, scale)
        q, k = q_NHD.to(v_NHD.dtype), k_NHD.to(v_NHD.dtype)
        return attend_densely(q, k, v_NHD.contiguous(), self.cut, self.rest, scale)


@dataclass(frozen=True)
class Cudnn:
    """`plan(segments, device)`: a `CudnnPlan` of one prompt that is long enough; else the flash kernels' plan."""

    shortest: int = 1024
    """Tokens of the shortest prompt that cuDNN computes."""
    step: int = STEP
    """Tokens that lengths are rounded to, so that few shapes are compiled."""
    flash: Varlen = field(default_factory=Varlen)
    """The kernels of what is left."""

    def plan(self, segments: Segments, device: torch.device) -> AttentionPlan:
        whole = self.flash.plan(segments, device)
        longest = max(segments.prompts, default=0)
        where = cut(longest, len(segments), self.step)
        if len(segments.prompts) > 1 or longest < self.shortest or where is None:
            return whole
        behind = Segments((longest - where.keys,), segments.rows, segments.group)
        return CudnnPlan(where, self.flash.plan(behind, device), whole)

    def choice(self, machine: Machine) -> Choice:
        return cudnn_attention(machine)

    def lacking(self, machine: Machine) -> str | None:
        return self.flash.lacking(machine)
