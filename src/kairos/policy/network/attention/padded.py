"""Softmax attention of padded batches in torch's SDPA: the path of a CPU and the plain twin of the GPU's kernels."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def pick(x_NHD: Tensor, index_PL: Tensor) -> Tensor:
    """Gather tokens into a padded batch: [N, H, D] and indices [P, L] -> [P, H, L, D]."""
    picked = x_NHD.index_select(0, index_PL.reshape(-1))
    return picked.view(*index_PL.shape, *x_NHD.shape[1:]).transpose(1, 2)


def attention(q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None = None) -> Tensor:
    """Softmax attention [P, H, L, D] over grouped keys [P, Hkv, K, D]; causal unless a mask says where True attends."""
    repeat = q.shape[1] // k.shape[1]
    if repeat > 1:
        k, v = (x[:, :, None].expand(-1, -1, repeat, -1, -1).flatten(1, 2) for x in (k, v))
    return scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale)
