"""A gated delta net's work on its tokens; the layer's context calls it with their past."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.policy.network.delta_net.backends import Kernels, Tokens
from kairos.policy.network.delta_net.convolution import convolved, or_zero
from kairos.policy.network.delta_net.decode import convolve_one, one_token
from kairos.policy.network.delta_net.indices import begun, tails
from kairos.policy.network.segments import Segments


@dataclass(frozen=True)
class DeltaState:
    """A layer's state of S sequences: the last inputs of its convolution, and fp32 matrices."""

    recent_SKD: Tensor
    matrix_SHKV: Tensor

    def fork(self, count: int) -> DeltaState:
        """Each sequence `count` times, in memory of its own."""
        return DeltaState(*(x.repeat_interleave(count, dim=0) for x in (self.recent_SKD, self.matrix_SHKV)))


@dataclass(frozen=True)
class DeltaStep:
    """A layer's work on N tokens, except for their past: queries, keys and values [N, D] before the convolution."""

    mixed_ND: Tensor
    decay_NH: Tensor
    beta_NH: Tensor
    weight_DK: Tensor
    key_width: int
    value_width: int
    kernels: Kernels

    def shared(self, segments: Segments) -> Tensor:
        """[N, H, V]: prompts from nothing, every row from its prompt's end, whose gradient is the sum over its rows."""
        tokens = self._tokens(convolved(self.mixed_ND, self.weight_DK, segments))
        output, state = self.kernels.scan(tokens.part(0, segments.base), segments.prompts, None)
        lengths, group = begun(segments, output.device)
        if not lengths:
            return output
        start = state.index_select(0, group)
        own, _ = self.kernels.scan(tokens.part(segments.base, len(segments)), lengths, start)
        return torch.cat([output, own])

    def prompts(self, lengths: tuple[int, ...]) -> tuple[Tensor, DeltaState]:
        """[N, H, V] of prompts from nothing, and how each ends."""
        mixed_ND = convolved(self.mixed_ND, self.weight_DK, Segments(lengths))
        output, matrix = self.kernels.scan(self._tokens(mixed_ND), lengths, None)
        last = tails(lengths, self.weight_DK.shape[1] - 1, output.device)
        return output, DeltaState(or_zero(self.mixed_ND, last), matrix)

    def decode(self, state: DeltaState) -> Tensor:
        """[S, H, V] of one token more for each of S sequences; writes the state in place."""
        mixed_SD = convolve_one(self.mixed_ND, state.recent_SKD, self.weight_DK)
        return one_token(*self._tokens(mixed_SD), state.matrix_SHKV).to(mixed_SD.dtype)

    def _tokens(self, convolved_ND: Tensor) -> Tokens:
        values = self.value_width * self.decay_NH.shape[1]
        keys = (convolved_ND.shape[1] - values) // 2
        q, k, v = convolved_ND.split([keys, keys, values], dim=1)
        q, k = (x.unflatten(1, (-1, self.key_width)) for x in (q, k))
        return Tokens(q, k, v.unflatten(1, (-1, self.value_width)), self.decay_NH, self.beta_NH)
