"""A gated delta net's convolution and recurrence on packed tokens, in the three ways that contexts ask for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.policy.network.delta_net.backends import Kernels, Tokens
from kairos.policy.network.delta_net.convolution import convolved, take_or_zero
from kairos.policy.network.delta_net.decode import convolve_one, one_token
from kairos.policy.network.delta_net.indices import last_tokens, nonempty_rows
from kairos.policy.network.segments import Segments


@dataclass(frozen=True)
class DeltaState:
    """A layer's state at the end of S sequences."""

    recent_SKD: Tensor
    """The last K - 1 inputs of the convolution."""
    matrix_SHKV: Tensor
    """The delta rule's state, fp32."""

    def fork(self, count: int) -> DeltaState:
        """Copy each sequence's state `count` times."""
        return DeltaState(*(x.repeat_interleave(count, dim=0) for x in (self.recent_SKD, self.matrix_SHKV)))


@dataclass(frozen=True)
class DeltaStep:
    """A layer's projections of N tokens. The layer's context knows what precedes them and calls one of the methods."""

    mixed_ND: Tensor
    """Queries, keys and values of all heads, before the convolution."""
    decay_NH: Tensor
    """Logarithm of the state's decay, at most 0."""
    beta_NH: Tensor
    """Step size of the write, in [0, 1]."""
    weight_DK: Tensor
    """The convolution's weights, K taps a channel."""
    key_width: int
    """Numbers of one key head."""
    value_width: int
    """Numbers of one value head."""
    kernels: Kernels
    """The backend of the delta rule."""

    def shared(self, segments: Segments) -> Tensor:
        """Outputs [N, H, V] of prompts and rows; every row starts from the state at the end of its prompt.

        The gradient into that state is the sum over the prompt's rows.
        """
        tokens = self._tokens(convolved(self.mixed_ND, self.weight_DK, segments))
        output, state = self.kernels.scan(tokens.part(0, segments.base), segments.prompts, None)
        lengths, group = nonempty_rows(segments, output.device)
        if not lengths:
            return output
        start = state.index_select(0, group)
        own, _ = self.kernels.scan(tokens.part(segments.base, len(segments)), lengths, start)
        return torch.cat([output, own])

    def prompts(self, lengths: tuple[int, ...]) -> tuple[Tensor, DeltaState]:
        """Outputs [N, H, V] of prompts alone, and the state at the end of each."""
        mixed_ND = convolved(self.mixed_ND, self.weight_DK, Segments(lengths))
        output, matrix = self.kernels.scan(self._tokens(mixed_ND), lengths, None)
        last = last_tokens(lengths, self.weight_DK.shape[1] - 1, output.device)
        return output, DeltaState(take_or_zero(self.mixed_ND, last), matrix)

    def decode(self, state: DeltaState) -> Tensor:
        """Outputs [S, H, V] of one more token for each of S sequences; updates the state in place."""
        mixed_SD = convolve_one(self.mixed_ND, state.recent_SKD, self.weight_DK)
        return one_token(*self._tokens(mixed_SD), state.matrix_SHKV).to(mixed_SD.dtype)

    def _tokens(self, convolved_ND: Tensor) -> Tokens:
        values = self.value_width * self.decay_NH.shape[1]
        keys = (convolved_ND.shape[1] - values) // 2
        q, k, v = convolved_ND.split([keys, keys, values], dim=1)
        q, k = (x.unflatten(1, (-1, self.key_width)) for x in (q, k))
        return Tokens(q, k, v.unflatten(1, (-1, self.value_width)), self.decay_NH, self.beta_NH)
