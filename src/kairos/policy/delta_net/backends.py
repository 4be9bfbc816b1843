"""What computes gated delta nets over sequences end to end: plain torch, or flash-linear-attention on a GPU."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import version
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from kairos.policy.delta_net.indices import cuts, padded
from kairos.policy.delta_net.rule import over_sequences
from kairos.policy.kernels.checkpoint import recomputed
from kairos.policy.kernels.dispatch import has_package

_log = logging.getLogger(__name__)


class Tokens(NamedTuple):
    """What the delta rule is given of N tokens; queries and keys may have fewer heads. `decay` is the logarithm."""

    q_NHK: Tensor
    k_NHK: Tensor
    v_NHV: Tensor
    decay_NH: Tensor
    beta_NH: Tensor

    def part(self, start: int, end: int) -> Tokens:
        return Tokens(*(x[start:end] for x in self))


class Kernels(Protocol):
    """`Torch` or `FlashLinear`."""

    def scan(self, tokens: Tokens, lengths: tuple[int, ...], state_SHKV: Tensor | None, /) -> tuple[Tensor, Tensor]:
        """The delta rule over S sequences end to end: [N, H, V] in v's dtype, and fp32 final states [S, H, K, V]."""
        ...


@dataclass(frozen=True)
class Torch:
    """Any device, any dtype; sequences of similar length are padded into one batch.

    What the rule needs inside is many times what it is given, so it is computed again in the backward pass.
    """

    def scan(self, tokens: Tokens, lengths: tuple[int, ...], state_SHKV: Tensor | None) -> tuple[Tensor, Tensor]:
        return recomputed(self._scanned, tokens, lengths, state_SHKV)

    def _scanned(self, tokens: Tokens, lengths: tuple[int, ...], state_SHKV: Tensor | None) -> tuple[Tensor, Tensor]:
        batches, home_N, home_S = padded(lengths, tokens.v_NHV.device)
        outputs, states = [], []
        for member_S, index_SL, valid_SL in batches:
            q, k, v, decay, beta = (x.index_select(0, index_SL.flatten()).unflatten(0, index_SL.shape) for x in tokens)
            before = None if state_SHKV is None else state_SHKV.index_select(0, member_S)
            output_SLHV, state = over_sequences(
                q, k, v, decay * valid_SL[..., None], beta * valid_SL[..., None], before
            )
            outputs.append(output_SLHV.flatten(0, 1))
            states.append(state)
        output_NHV = torch.cat(outputs).index_select(0, home_N)
        return output_NHV.to(tokens.v_NHV.dtype), torch.cat(states).index_select(0, home_S)


@dataclass(frozen=True)
class FlashLinear:
    """The package flash-linear-attention (extra `fla`): on a GPU, in bf16 or fp16. ValueError where it is missing."""

    def __post_init__(self) -> None:
        if not has_package("fla"):
            raise ValueError("these kernels need flash-linear-attention: pip install 'kairos-video[fla]'")

    def scan(self, tokens: Tokens, lengths: tuple[int, ...], state_SHKV: Tensor | None) -> tuple[Tensor, Tensor]:
        q, k, v, decay, beta = (x[None].contiguous() for x in tokens)
        output_1NHV, state_SHKV = self._rule(
            q, k, v, decay, beta, initial_state=state_SHKV, output_final_state=True, use_qk_l2norm_in_kernel=True,
            cu_seqlens=cuts(lengths, v.device),
        )  # fmt: skip
        return output_1NHV[0], state_SHKV

    @cached_property
    def _rule(self) -> Callable[..., tuple[Tensor, Tensor]]:
        return import_module("fla.ops.gated_delta_rule").chunk_gated_delta_rule


def automatic(device: torch.device) -> Kernels:
    """`FlashLinear` where a GPU and the package can learn, `Torch` elsewhere."""
    if device.type == "cuda" and has_package("fla"):
        reason = refused(torch.cuda.get_device_capability(device))
        if reason is None:
            _say_once(
                logging.INFO,
                "gated delta nets are computed by flash-linear-attention, which builds and tunes its kernels where it "
                "has not before: that takes minutes, and stays in $TRITON_CACHE_DIR (~/.triton)",
            )
            return FlashLinear()
        _say_once(logging.WARNING, f"gated delta nets are computed in plain torch: {reason}")
    return Torch()


@cache
def refused(capability: tuple[int, int]) -> str | None:
    """Why flash-linear-attention gives no gradients on a GPU of this capability; None where it does.

    On Hopper, Triton 3.4.0 to 3.7.0 miscompile its backward pass, and it refuses without tilelang (its issue 640).
    """
    if capability != (9, 0) or not has_package("triton") or has_package("tilelang"):
        return None
    triton = version("triton")
    if not (3, 4, 0) <= tuple(map(int, re.findall(r"\d+", triton)[:3])) < (3, 7, 1):
        return None
    return f"flash-linear-attention gives no gradients here with triton {triton}; install triton>=3.7.1 or tilelang"


@cache
def _say_once(level: int, text: str) -> None:
    _log.log(level, text)
