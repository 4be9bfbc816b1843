"""Attention with shared prompts as one operator: two varlen calls, merged by their log-sum-exps. Gradients are exact.

In the first call, prompts and rows attend to themselves causally. In the second, the rows of a prompt, as one sequence
of queries, attend to the whole prompt. Their softmaxes are merged by their normalisers, so no key is copied.
In the backward pass each call is given the merged output and normaliser: with P = exp(scores - lse) and D = sum(dO * O)
of the whole softmax its gradients add up to the exact ones (FlashAttention-2, section 3; as in ring attention).

On a GPU the calls are torch's own flash kernels (bf16 or fp16), or those that `torch.nn.attention` has activated
instead. On a CPU they are plain torch, the twin.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, library
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from kairos.policy.network.attention import plain
from kairos.policy.network.kernels.autograd import Ctx
from kairos.policy.network.kernels.dispatch import uses_flash
from kairos.policy.network.kernels.elementwise import merged

Packed = tuple[Tensor, Tensor, Tensor, Tensor | None, int, list[int]]
"""`own_cuts`, `group_cuts`, `seen_cuts`, `seen_index`, `base` and `longest` of `attended`."""
Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None, int, list[int], float]


def attended(
    q_NHD: Tensor,
    k_NHD: Tensor,
    v_NHD: Tensor,
    own_cuts: Tensor,
    group_cuts: Tensor,
    seen_cuts: Tensor,
    seen_index: Tensor | None,
    base: int,
    longest: list[int],
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Output [N, H, D] and log-sum-exps [H, N] (fp32).

    Cuts are cumulative lengths of non-empty sequences (int32, from 0). The prompts' `base` tokens come first, then the
    rows': `own_cuts` cut all tokens by prompt and by row, `group_cuts` the rows' tokens by prompt, `seen_cuts` the
    tokens of the prompts that have row tokens, which `seen_index` picks where other prompts have none. `longest` holds
    the length of the longest prompt or row, of the longest group of rows, and of the longest prompt.
    """
    q, k, v = q_NHD, k_NHD, v_NHD
    out, lse = _forward(q, k, v, own_cuts, own_cuts, longest[0], longest[0], True, scale)
    if len(q) > base:
        seen = _seen(k, v, base, seen_index)
        on_prompt = _forward(q[base:], *seen, group_cuts, seen_cuts, longest[1], longest[2], False, scale)
        lse[:, base:] = merged(*on_prompt, out[base:], lse[:, base:], out[base:])
    return out, lse


shared_attention = library.custom_op("kairos::shared_attention", attended, mutates_args=())
"""The operator that torch's compiler sees; call `attend`, which takes it under torch.compile only."""


@shared_attention.register_fake
def _(q_NHD: Tensor, *others: object) -> tuple[Tensor, Tensor]:
    del others
    tokens, heads, _ = q_NHD.shape
    return torch.empty_like(q_NHD), q_NHD.new_empty((heads, tokens), dtype=torch.float32)


def gradients(
    grad_NHD: Tensor,
    q_NHD: Tensor,
    k_NHD: Tensor,
    v_NHD: Tensor,
    out_NHD: Tensor,
    lse_HN: Tensor,
    own_cuts: Tensor,
    group_cuts: Tensor,
    seen_cuts: Tensor,
    seen_index: Tensor | None,
    base: int,
    longest: list[int],
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `attended` with respect to queries, keys and values."""
    q, k, v, grad, out = q_NHD, k_NHD, v_NHD, grad_NHD.contiguous(), out_NHD
    dq, dk, dv = _backward(grad, q, k, v, out, lse_HN, own_cuts, own_cuts, longest[0], longest[0], True, scale)
    if len(q) > base:
        rows, seen = slice(base, None), _seen(k, v, base, seen_index)
        of_queries, *of_seen = _backward(
            grad[rows], q[rows], *seen, out[rows], lse_HN[:, rows].contiguous(),
            group_cuts, seen_cuts, longest[1], longest[2], False, scale,
        )  # fmt: skip
        dq[rows] += of_queries
        for total, part in zip((dk, dv), of_seen, strict=True):
            if seen_index is None:
                total[:base] += part
            else:
                total[:base].index_add_(0, seen_index, part)
    return dq, dk, dv


shared_attention_backward = library.custom_op("kairos::shared_attention_backward", gradients, mutates_args=())


@shared_attention_backward.register_fake
def _(grad_NHD: Tensor, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, *others: object) -> tuple[Tensor, Tensor, Tensor]:
    del grad_NHD, others
    return torch.empty_like(q_NHD), torch.empty_like(k_NHD), torch.empty_like(v_NHD)


def attend(q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, *rest: object) -> Tensor:
    """The output of `attended`. Outside torch.compile it avoids the registered operator, whose call costs the host as
    much time as all matrix products of a layer."""
    if torch.compiler.is_compiling():
        return shared_attention(q_NHD, k_NHD, v_NHD, *rest)[0]
    return _Attended.apply(q_NHD, k_NHD, v_NHD, *rest)


def attend_to_sequences(
    q_SHD: Tensor, k_MHD: Tensor, v_MHD: Tensor, cuts_q: Tensor, cuts_k: Tensor, max_k: int, scale: float,
    used_S: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """One query attends to each of S sequences of keys: output [S, H, D], log-sum-exp [H, S]. No gradient.

    `cuts_q` is 0, 1, ..., S. Where `used_S` (int32) is given, only the first `used_S` keys of each sequence count.
    """
    return _forward(q_SHD, k_MHD, v_MHD, cuts_q, cuts_k, 1, max_k, False, scale, used_S)


class _AttentionCtx(Ctx):
    numbers: tuple[int, list[int], float]
    """`base`, `longest` and `scale`."""


def _keep(ctx: _AttentionCtx, inputs: Inputs, output: tuple[Tensor, ...]) -> None:
    *tensors, base, longest, scale = inputs
    ctx.save_for_backward(*tensors, *output)
    ctx.numbers = (base, longest, scale)


def _set_up(ctx: _AttentionCtx, inputs: Inputs, output: tuple[Tensor, ...]) -> None:
    _keep(ctx, inputs, output)
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)


def _differentiate(
    ctx: _AttentionCtx,
    grad_NHD: Tensor,
    *of_lse: None,
    gradients: Callable[..., tuple[Tensor, Tensor, Tensor]] = shared_attention_backward,
) -> tuple[Tensor | None, ...]:
    del of_lse
    q, k, v, *cuts, out, lse_HN = ctx.saved_tensors
    return (*gradients(grad_NHD, q, k, v, out, lse_HN, *cuts, *ctx.numbers), *[None] * 7)


shared_attention.register_autograd(_differentiate, setup_context=_set_up)


class _Attended(Function):
    @staticmethod
    def forward(
        ctx: _AttentionCtx, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, own_cuts: Tensor, group_cuts: Tensor,
        seen_cuts: Tensor, seen_index: Tensor | None, base: int, longest: list[int], scale: float,
    ) -> Tensor:  # fmt: skip
        inputs = q_NHD, k_NHD, v_NHD, own_cuts, group_cuts, seen_cuts, seen_index, base, longest, scale
        output = attended(*inputs)
        _keep(ctx, inputs, output)
        return output[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: _AttentionCtx, grad_NHD: Tensor) -> tuple[Tensor | None, ...]:
        return _differentiate(ctx, grad_NHD, gradients=gradients)


def _seen(k: Tensor, v: Tensor, base: int, index: Tensor | None) -> tuple[Tensor, Tensor]:
    """Keys and values of the prompts that rows attend to."""
    if index is None:
        return k[:base], v[:base]
    return k.index_select(0, index), v.index_select(0, index)


def _forward(
    q: Tensor, k: Tensor, v: Tensor, cuts_q: Tensor, cuts_k: Tensor, max_q: int, max_k: int, causal: bool, scale: float,
    used: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    if uses_flash(q):
        out, lse, *_ = torch.ops.aten._flash_attention_forward(
            q.contiguous(), k.contiguous(), v.contiguous(), cuts_q, cuts_k, max_q, max_k, 0.0, causal, False,
            scale=scale, seqused_k=used,
        )  # fmt: skip
        return out, lse
    outs, lses = [], []
    for number, (rows, keys) in enumerate(zip(_slices(cuts_q), _slices(cuts_k), strict=True)):
        if used is not None:
            keys = slice(keys.start, keys.start + int(used[number]))
        out, lse = plain.attended(q[rows], k[keys], v[keys], causal, scale)
        outs.append(out)
        lses.append(lse)
    return torch.cat(outs), torch.cat(lses, dim=1)


def _backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor,
    cuts_q: Tensor, cuts_k: Tensor, max_q: int, max_k: int, causal: bool, scale: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    if uses_flash(q):
        unused = torch.empty(2, dtype=torch.uint64, device=q.device)  # the state of a dropout
        return torch.ops.aten._flash_attention_backward(
            grad, q.contiguous(), k.contiguous(), v.contiguous(), out.contiguous(), lse, cuts_q, cuts_k,
            max_q, max_k, 0.0, causal, unused, unused, scale=scale,
        )  # fmt: skip
    parts = [
        plain.gradients(grad[rows], q[rows], k[keys], v[keys], out[rows], lse[:, rows], causal, scale)
        for rows, keys in zip(_slices(cuts_q), _slices(cuts_k), strict=True)
    ]
    dq, dk, dv = (torch.cat(x) for x in zip(*parts, strict=True))
    return dq, dk, dv


def _slices(cuts: Tensor) -> list[slice]:
    ends = cuts.tolist()
    return [slice(begin, end) for begin, end in pairwise(ends)]
