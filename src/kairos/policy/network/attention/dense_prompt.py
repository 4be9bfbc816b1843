"""Attention of one long prompt and its rows by cuDNN's dense kernels, the fastest on Hopper. Gradients are exact.

Tokens lie as [prompt | rows]. One causal call computes them all over the prompt's first keys: prompt token i sees the
keys 0 to i, and every token behind these keys, those of the rows too, sees all of them. What is left is a short prompt
with its rows, which `shared_prompt_op` computes; the two softmaxes are merged by their normalisers as they are there.

cuDNN compiles a plan for every shape, which takes longer than an update saves. Keys are therefore cut at, and queries
padded to, a multiple of `STEP` tokens: prompts of similar lengths share a plan. Padded queries count for nothing in the
backward pass, because their normaliser is infinite.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from kairos.policy.network.attention import plain
from kairos.policy.network.attention.shared_prompt_op import Packed, attended, gradients
from kairos.policy.network.kernels.autograd import Ctx
from kairos.policy.network.kernels.dispatch import uses_flash
from kairos.policy.network.kernels.elementwise import merged

STEP = 256
"""Tokens."""


class Cut(NamedTuple):
    """Where the dense call ends."""

    keys: int
    """The prompt's first tokens, which it attends to: a multiple of STEP, and fewer than the prompt has."""
    queries: int
    """All tokens, padded to a multiple of STEP."""


def cut(prompt: int, tokens: int, step: int = STEP) -> Cut | None:
    """The cut of `tokens` that begin with a prompt; None where the prompt is too short for one.

    >>> cut(prompt=1000, tokens=1600)
    Cut(keys=768, queries=1792)
    """
    keys = (prompt - 1) // step * step
    return Cut(keys, -(-tokens // step) * step) if keys else None


def attend_densely(q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, cut: Cut, rest: Packed, scale: float) -> Tensor:
    """The output [N, H, D]; `rest` is what `shared_prompt_op` takes for the tokens from `cut.keys` on."""
    return _Dense.apply(q_NHD, k_NHD, v_NHD, cut, rest, scale)


class _DenseCtx(Ctx):
    numbers: tuple[Cut, Packed, float]
    """The cut, the rest's plan, the scale."""


class _Dense(Function):
    @staticmethod
    def forward(ctx: _DenseCtx, q: Tensor, k: Tensor, v: Tensor, cut: Cut, rest: Packed, scale: float) -> Tensor:
        first, behind, queries = slice(cut.keys), slice(cut.keys, None), _padded(q, cut)
        whole_out, whole_lse = _forward(queries, k[first], v[first], scale)
        out, lse = whole_out[: len(q)], whole_lse[:, : len(q)]
        of_rest = attended(q[behind], k[behind], v[behind], *rest, scale)
        lse[:, behind] = merged(*of_rest, out[behind], lse[:, behind], out[behind])
        whole_lse[:, len(q) :] = torch.inf
        ctx.save_for_backward(queries, k, v, whole_out, whole_lse)
        ctx.numbers = (cut, rest, scale)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: _DenseCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        (q, k, v, out, lse), (cut, rest, scale) = ctx.saved_tensors, ctx.numbers
        first, behind, grad = slice(cut.keys), slice(cut.keys, len(grad)), grad.contiguous()
        dq, dk, dv = _backward(_padded(grad, cut), q, k[first], v[first], out, lse, scale)
        of_rest = gradients(
            grad[behind], q[behind], k[behind], v[behind], out[behind], lse[:, behind].contiguous(), *rest, scale
        )
        dq[behind] += of_rest[0]
        return dq[: len(grad)], torch.cat([dk, of_rest[1]]), torch.cat([dv, of_rest[2]]), None, None, None


def _padded(x_NHD: Tensor, cut: Cut) -> Tensor:
    """With zeros up to `cut.queries` tokens."""
    tokens = len(x_NHD)
    if tokens == cut.queries:
        return x_NHD
    padded = x_NHD.new_empty(cut.queries, *x_NHD.shape[1:])
    padded[:tokens] = x_NHD
    padded[tokens:] = 0
    return padded


def _forward(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exps [H, Q] of a causal call in which query i sees the keys 0 to i."""
    if not uses_flash(q):
        return plain.attended(q, k, v, True, scale)
    out, lse, *_ = torch.ops.aten._cudnn_attention_forward(
        *map(_batched, (q, k, v)), None, None, None, len(q), len(k), True, 0.0, True, False, scale=scale
    )
    return out[0].transpose(0, 1), lse[0, ..., 0]


def _backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse_HQ: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    if not uses_flash(q):
        return plain.gradients(grad, q, k, v, out, lse_HQ, True, scale)
    unused = torch.empty((), dtype=torch.int64, device=q.device)  # the state of a dropout
    dq, dk, dv = torch.ops.aten._cudnn_attention_backward(
        *map(_batched, (grad, q, k, v, out)), lse_HQ[None, ..., None], unused, unused, None, None, None,
        len(q), len(k), 0.0, True, scale=scale,
    )  # fmt: skip
    return dq[0].transpose(0, 1), dk[0].transpose(0, 1), dv[0].transpose(0, 1)


def _batched(x_NHD: Tensor) -> Tensor:
    """[N, H, D] as [1, H, N, D], without a copy."""
    return x_NHD.transpose(0, 1)[None]
