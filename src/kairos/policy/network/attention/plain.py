"""Softmax attention of one sequence in plain torch, forward and backward: the twin of the flash and cuDNN kernels."""

from __future__ import annotations

import torch
from torch import Tensor


def attended(q_QHD: Tensor, k_KHD: Tensor, v_KHD: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    """Output [Q, H, D] and log-sum-exps [H, Q] (fp32). Where causal, query i sees the keys 0 to i."""
    scores = _scores(q_QHD, k_KHD, causal, scale)
    lse = scores.logsumexp(-1)
    out = torch.einsum("hqk,khd->qhd", (scores - lse[..., None]).exp(), _wide(v_KHD.float(), q_QHD))
    return out.to(q_QHD.dtype), lse


def gradients(
    grad_QHD: Tensor, q_QHD: Tensor, k_KHD: Tensor, v_KHD: Tensor, out_QHD: Tensor, lse_HQ: Tensor,
    causal: bool, scale: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of queries, keys and values. `out` and `lse` may be those of a softmax over more keys than these; a
    query whose `lse` is infinite counts for nothing."""
    dy, queries = grad_QHD.float(), q_QHD.float()
    p = (_scores(q_QHD, k_KHD, causal, scale) - lse_HQ[..., None]).exp()
    dp = torch.einsum("qhd,khd->hqk", dy, _wide(v_KHD.float(), q_QHD))
    ds = p * (dp - (dy * out_QHD.float()).sum(-1).T[..., None]) * scale
    of_all = (
        torch.einsum("hqk,khd->qhd", ds, _wide(k_KHD.float(), q_QHD)),
        _narrow(torch.einsum("hqk,qhd->khd", ds, queries), k_KHD),
        _narrow(torch.einsum("hqk,qhd->khd", p, dy), k_KHD),
    )
    dq, dk, dv = (x.to(q_QHD.dtype) for x in of_all)
    return dq, dk, dv


def _scores(q: Tensor, k: Tensor, causal: bool, scale: float) -> Tensor:
    scores = torch.einsum("qhd,khd->hqk", q.float(), _wide(k.float(), q)) * scale
    if causal:
        seen = torch.ones(scores.shape[1:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~seen, -torch.inf)
    return scores


def _wide(x_KHD: Tensor, q: Tensor) -> Tensor:
    """Repeat each key head for the query heads that share it."""
    return x_KHD.repeat_interleave(q.shape[1] // x_KHD.shape[1], dim=1)


def _narrow(x_KHD: Tensor, k: Tensor) -> Tensor:
    """Sum the gradients of repeated heads into those of their key head."""
    return x_KHD.unflatten(1, (k.shape[1], -1)).sum(2)
