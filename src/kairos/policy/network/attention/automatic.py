"""Picks the attention kernels: by device, and on Hopper and newer by timing those that this environment has."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cache

import torch

from kairos.policy.network.attention.cudnn import Cudnn
from kairos.policy.network.attention.gathered_sdpa import Gathered
from kairos.policy.network.attention.varlen import AttentionPlan, Varlen, use_kernels
from kairos.policy.network.kernels.choices import automatic_attention
from kairos.policy.network.kernels.dispatch import FLASH_PACKAGES, Choice, Machine, dense_kernels_may_pay, packs
from kairos.policy.network.segments import Segments

_log = logging.getLogger(__name__)
_TRIAL = Segments((16384,), (256,) * 4, (0,) * 4)  # at 4,096 tokens the host's launches hide what the kernels take
_HEADS, _KEY_HEADS, _WIDTH = 16, 2, 128


@dataclass(frozen=True)
class Automatic:
    """On a GPU the fastest kernels that are installed, where compute is bf16; `Gathered` elsewhere.

    Kernels are timed once in a process, when the first long prompt comes, on GPUs where cuDNN's may be the fastest.
    """

    def plan(self, segments: Segments, device: torch.device) -> AttentionPlan:
        if not packs(device):
            return Gathered().plan(segments, device)
        if max(segments.prompts, default=0) < Cudnn.shortest:
            return Varlen().plan(segments, device)
        here = torch.cuda.current_device() if device.index is None else device.index
        return fastest(torch.device("cuda", here)).plan(segments, device)

    def choice(self, machine: Machine) -> Choice:
        return automatic_attention(machine)

    def lacking(self, machine: Machine) -> str | None:
        del machine
        return None


@cache
def fastest(device: torch.device) -> Varlen | Cudnn:
    """The kernels with the shortest time for one group, forward and backward, on this GPU."""
    if not dense_kernels_may_pay(device):
        return Varlen()
    installed = [name for name, package in FLASH_PACKAGES.items() if any(map(Machine.of(device).has, package.modules))]
    seconds: dict[Varlen | Cudnn, float] = {}
    for flash in (Varlen(), *map(Varlen, installed)):
        for attention in (flash, Cudnn(flash=flash)):
            try:
                seconds[attention] = measured(attention, device)
            except (RuntimeError, ImportError, AttributeError) as error:  # kernels that this GPU or torch cannot run
                _log.warning("attn=automatic leaves out %s, which fails here: %s", described(attention), error)
    best = min(seconds, key=seconds.__getitem__)
    use_kernels(best.flash.implementation if isinstance(best, Cudnn) else best.implementation)
    _log.info(
        "attn=automatic takes %s; one group's attention in ms: %s",
        described(best), ", ".join(f"{described(one)} {1e3 * time:.2f}" for one, time in seconds.items()),
    )  # fmt: skip
    return best


def measured(attention: Varlen | Cudnn, device: torch.device, repeats: int = 5) -> float:
    """Seconds of one layer's attention, forward and backward: the shortest, after two passes that compile."""
    tokens, random = len(_TRIAL), torch.Generator(device).manual_seed(0)
    q, k, v = (
        torch.randn(tokens, heads, _WIDTH, device=device, dtype=torch.bfloat16, generator=random).requires_grad_()
        for heads in (_HEADS, _KEY_HEADS, _KEY_HEADS)
    )
    plan, weights = attention.plan(_TRIAL, device), torch.randn(tokens, _HEADS, _WIDTH, device=device).bfloat16()

    def once() -> float:
        torch.cuda.synchronize(device)
        begun = time.perf_counter()
        torch.autograd.grad(plan(q, k, v, _WIDTH**-0.5), (q, k, v), weights)
        torch.cuda.synchronize(device)
        return time.perf_counter() - begun

    with torch.enable_grad():
        for _ in range(2):
            once()
        return min(once() for _ in range(repeats))


def described(attention: Varlen | Cudnn) -> str:
    """In words.

    >>> described(Cudnn(flash=Varlen("FA3")))
    'cuDNN with FlashAttention-3'
    """
    if isinstance(attention, Cudnn):
        return f"cuDNN with {described(attention.flash)}"
    return f"FlashAttention-{(attention.implementation or 'FA2').removeprefix('FA')}"
