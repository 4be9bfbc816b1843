"""Which packed tokens of the text layers see which: a `Context` that layers ask, in place of a mask."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from kairos.policy.network.delta_net.step import DeltaStep


class Context(Protocol):
    """Which of a layer's packed tokens see which: scoring, prefill and decoding each have their own."""

    def attend(self, layer: int, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float, /) -> Tensor:
        """Queries [N, H, D], keys and values [N, Hkv, D] of one layer -> [N, H, D]."""
        ...

    def recur(self, layer: int, step: DeltaStep, /) -> Tensor:
        """The tokens of a layer that remembers its past in a state -> [N, H, V]."""
        ...
