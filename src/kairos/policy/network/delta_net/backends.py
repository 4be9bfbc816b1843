"""What computes gated delta nets over sequences end to end: plain torch, or flash-linear-attention on a GPU."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import InitVar, dataclass
from functools import cache, cached_property
from importlib import import_module
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from kairos.policy.network.delta_net.indices import cuts, padded
from kairos.policy.network.delta_net.rule import over_sequences
from kairos.policy.network.kernels.checkpoint import recomputed
from kairos.policy.network.kernels.dispatch import Machine, delta_net, has_package

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

    has: InitVar[Callable[[str], bool]] = has_package

    def __post_init__(self, has: Callable[[str], bool]) -> None:
        if not has("fla"):
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


@cache
def automatic(device: torch.device) -> Kernels:
    """What `dispatch.delta_net` chooses for a device."""
    return chosen_on(Machine.of(device))


@cache
def chosen_on(machine: Machine) -> Kernels:
    """What `dispatch.delta_net` chooses on a machine; a GPU's is logged, once."""
    path, why = delta_net(machine)
    if path == "fla":
        _log.info(
            "gated delta nets are computed by flash-linear-attention, which builds and tunes its kernels where it "
            "has not before: that takes minutes, and stays in $TRITON_CACHE_DIR (~/.triton)"
        )
        return FlashLinear(machine.has)
    if machine.kind == "cuda" and machine.has("fla"):
        _log.warning("gated delta nets are computed in plain torch: %s", why)
    return Torch()
