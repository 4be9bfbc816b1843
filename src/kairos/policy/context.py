"""What packed tokens of the text layers know of one another: a `Context`, not a mask."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from kairos.policy.delta_net.step import DeltaStep


class Context(Protocol):
    """What a layer's packed tokens know of one another: scoring, prefill and decoding each have theirs."""

    def attend(self, layer: int, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float, /) -> Tensor:
        """Queries [N, H, D], keys and values [N, Hkv, D] of one layer -> [N, H, D]."""
        ...

    def recur(self, layer: int, step: DeltaStep, /) -> Tensor:
        """The tokens of a layer that remembers its past in a state -> [N, H, V]."""
        ...


def pick(x_NHD: Tensor, index_PL: Tensor) -> Tensor:
    """Tokens by index as a padded batch: [N, H, D], [P, L] -> [P, H, L, D]."""
    picked = x_NHD.index_select(0, index_PL.reshape(-1))
    return picked.view(*index_PL.shape, *x_NHD.shape[1:]).transpose(1, 2)


def attention(q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None = None) -> Tensor:
    """Softmax attention [P, H, L, D] over grouped keys [P, Hkv, K, D]; causal without a mask (True: may see)."""
    repeat = q.shape[1] // k.shape[1]
    if repeat > 1:
        k, v = (x[:, :, None].expand(-1, -1, repeat, -1, -1).flatten(1, 2) for x in (k, v))
    return scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale)
