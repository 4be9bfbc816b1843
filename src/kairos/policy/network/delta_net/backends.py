"""The backends of the gated delta rule over packed sequences: plain torch, and flash-linear-attention on a GPU."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import InitVar, dataclass
from functools import cache, cached_property
from importlib import import_module
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from kairos.core.installing import install_line
from kairos.policy.network.delta_net.indices import cuts, padded
from kairos.policy.network.delta_net.rule import over_sequences
from kairos.policy.network.kernels.checkpoint import recomputed
from kairos.policy.network.kernels.dispatch import Machine, delta_net, has_package

_log = logging.getLogger(__name__)


class Tokens(NamedTuple):
    """The delta rule's inputs for N tokens. Queries and keys may have fewer heads than the values."""

    q_NHK: Tensor
    """Queries."""
    k_NHK: Tensor
    """Keys."""
    v_NHV: Tensor
    """Values."""
    decay_NH: Tensor
    """Logarithm of the factor that the state is multiplied by, at most 0."""
    beta_NH: Tensor
    """Step size of the write, in [0, 1]."""

    def part(self, start: int, end: int) -> Tokens:
        """Tokens `start` to `end`."""
        return Tokens(*(x[start:end] for x in self))


class Kernels(Protocol):
    """A backend of the gated delta rule: `Torch` or `FlashLinear`."""

    def scan(self, tokens: Tokens, lengths: tuple[int, ...], state_SHKV: Tensor | None, /) -> tuple[Tensor, Tensor]:
        """Run the rule over S packed sequences: outputs [N, H, V] in v's dtype, final states [S, H, K, V] in fp32.

        Sequences start from `state`, or from zero without one.
        """
        ...


@dataclass(frozen=True)
class Torch:
    """Plain torch, for any device and dtype; pads sequences of similar length into one batch.

    The rule's intermediates are many times its inputs, so the backward pass recomputes them.
    """

    def scan(self, tokens: Tokens, lengths: tuple[int, ...], state_SHKV: Tensor | None) -> tuple[Tensor, Tensor]:
        return recomputed(self._scanned, tokens, lengths, state_SHKV)

    def _scanned(self, tokens: Tokens, lengths: tuple[int, ...], state_SHKV: Tensor | None) -> tuple[Tensor, Tensor]:
        batches, unpad_N, unsort_S = padded(lengths, tokens.v_NHV.device)
        outputs, states = [], []
        for member_S, index_SL, valid_SL in batches:
            q, k, v, decay, beta = (x.index_select(0, index_SL.flatten()).unflatten(0, index_SL.shape) for x in tokens)
            initial = None if state_SHKV is None else state_SHKV.index_select(0, member_S)
            output_SLHV, state = over_sequences(
                q, k, v, decay * valid_SL[..., None], beta * valid_SL[..., None], initial
            )
            outputs.append(output_SLHV.flatten(0, 1))
            states.append(state)
        output_NHV = torch.cat(outputs).index_select(0, unpad_N)
        return output_NHV.to(tokens.v_NHV.dtype), torch.cat(states).index_select(0, unsort_S)


@dataclass(frozen=True)
class FlashLinear:
    """The package flash-linear-attention (extra `fla`), on a GPU in bf16 or fp16. ValueError where it is missing."""

    has: InitVar[Callable[[str], bool]] = has_package
    """Whether a module can be imported."""

    def __post_init__(self, has: Callable[[str], bool]) -> None:
        if not has("fla"):
            raise ValueError(f"these kernels need flash-linear-attention: {install_line('fla')}")

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
    """The backend that `dispatch.delta_net` chooses for `device`."""
    return chosen_on(Machine.of(device))


@cache
def chosen_on(machine: Machine) -> Kernels:
    """The backend that `dispatch.delta_net` chooses on `machine`; on a GPU the choice is logged once."""
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
