"""The protocol by which text layers attend and recur over packed tokens, in place of a mask and a cache."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from kairos.policy.network.delta_net.step import DeltaStep


class Context(Protocol):
    """Says which packed tokens attend to which; scoring, prefill and decoding have a context each."""

    def attend(self, layer: int, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float, /) -> Tensor:
        """Queries [N, H, D], keys and values [N, Hkv, D] of one layer -> [N, H, D]."""
        ...

    def recur(self, layer: int, step: DeltaStep, /) -> Tensor:
        """Output [N, H, V] of one gated delta net layer, whose tokens recur over their past."""
        ...
