"""Elementwise operators of a layer: one Triton kernel forward and one backward each, plain torch (`*_plain`) elsewhere.

transformers composes them of torch's operators, each of which reads and writes memory: fourteen for a rotary embedding.
torch's compiler gets the plain twins and fuses them itself.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

from kairos.policy.network.kernels.autograd import Ctx
from kairos.policy.network.kernels.dispatch import uses_triton
from kairos.policy.network.kernels.launch import launch, next_power_of_2


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up, of any shape."""
    return _Gated.apply(gate, up) if uses_triton(gate) else gated_plain(gate, up)


def gated_plain(gate: Tensor, up: Tensor) -> Tensor:
    return silu(gate) * up


def gated_pair(pair: Tensor) -> Tensor:
    """silu(gate) * up, where `pair` [..., 2 * F] holds the gate and then up -> [..., F]. No gradient."""
    if not uses_triton(pair):
        return gated_plain(*pair.chunk(2, dim=-1))
    gate, up = pair.chunk(2, dim=-1)
    out = pair.new_empty(gate.shape)
    run("gate_forward", _blocks(out), gate, up, out, pair.shape[-1], out.shape[-1], BLOCK=_BLOCK)
    return out


def gated_pair_gradient(grad: Tensor, pair: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of `gated_pair` with respect to its contiguous input, and its output again, in one kernel."""
    if not uses_triton(pair):
        return gated_pair_gradient_plain(grad, pair)
    grad, grad_pair = grad.contiguous(), torch.empty_like(pair)
    out = torch.empty_like(grad)
    run(
        "gate_backward", _blocks(grad), grad, *pair.chunk(2, dim=-1), *grad_pair.chunk(2, dim=-1), out,
        pair.shape[-1], grad.shape[-1], GIVEN=True, BLOCK=_BLOCK,
    )  # fmt: skip
    return grad_pair, out


def gated_pair_gradient_plain(grad: Tensor, pair: Tensor) -> tuple[Tensor, Tensor]:
    gate, up = pair.float().chunk(2, dim=-1)
    s, dy = gate.sigmoid(), grad.float()
    grad_pair = torch.cat([dy * up * s * (1 + gate * (1 - s)), dy * gate * s], dim=-1)
    return grad_pair.to(pair.dtype), (gate * s * up).to(pair.dtype)


def rotated(q_NHD: Tensor, k_NHD: Tensor, cos_NR: Tensor, sin_NR: Tensor) -> tuple[Tensor, Tensor]:
    """Rotary position embedding of queries and keys, computed in fp32; each keeps its dtype and its number of heads.

    The first R of a head's D numbers are rotated: number i is paired with number i + R / 2.
    """
    if not uses_triton(q_NHD):
        return rotated_plain(q_NHD, cos_NR, sin_NR), rotated_plain(k_NHD, cos_NR, sin_NR)
    return _Rotated.apply(q_NHD, k_NHD, cos_NR, sin_NR)


def rotated_plain(x_NHD: Tensor, cos_NR: Tensor, sin_NR: Tensor) -> Tensor:
    cos_N1R, sin_N1R = cos_NR[:, None], sin_NR[:, None]
    turning, staying = x_NHD.split([cos_NR.shape[-1], x_NHD.shape[-1] - cos_NR.shape[-1]], dim=-1)
    first, second = turning.chunk(2, dim=-1)
    turned = (turning * cos_N1R + torch.cat([-second, first], dim=-1) * sin_N1R).to(x_NHD.dtype)
    return torch.cat([turned, staying], dim=-1) if staying.shape[-1] else turned


def merged(a_NHD: Tensor, lse_a_HN: Tensor, b_NHD: Tensor, lse_b_HN: Tensor, out_NHD: Tensor) -> Tensor:
    """Merge the outputs of two softmaxes over different keys by their log-sum-exps, into `out`, which may be an input.

    Returns the log-sum-exps of the merged softmax [H, N] (fp32). No gradient.
    """
    if not (uses_triton(a_NHD) and all(x.is_contiguous() for x in (a_NHD, b_NHD, out_NHD))):
        return merged_plain(a_NHD, lse_a_HN, b_NHD, lse_b_HN, out_NHD)
    (tokens, heads, width), lse_HN = a_NHD.shape, torch.empty_like(lse_a_HN)
    if tokens:
        run(
            "merge", (tokens,), a_NHD, lse_a_HN, b_NHD, lse_b_HN, out_NHD, lse_HN, heads,
            *lse_a_HN.stride(), *lse_b_HN.stride(), *lse_HN.stride(),
            WIDTH=width, HEADS=next_power_of_2(heads), COLUMNS=next_power_of_2(width),
        )  # fmt: skip
    return lse_HN


def merged_plain(a_NHD: Tensor, lse_a_HN: Tensor, b_NHD: Tensor, lse_b_HN: Tensor, out_NHD: Tensor) -> Tensor:
    lse_HN = torch.logaddexp(lse_a_HN, lse_b_HN)
    share_a, share_b = ((part - lse_HN).exp().T[..., None] for part in (lse_a_HN, lse_b_HN))
    out_NHD.copy_(a_NHD * share_a + b_NHD * share_b)
    return lse_HN


def write_kv(k_BHD: Tensor, v_BHD: Tensor, keys_BCHD: Tensor, values_BCHD: Tensor, step: Tensor) -> None:
    """Write each row's new key and value at index `step` [1] of its cache of C tokens. No gradient."""
    if not (uses_triton(k_BHD) and all(x.is_contiguous() for x in (k_BHD[0], v_BHD[0], keys_BCHD, values_BCHD))):
        write_kv_plain(k_BHD, v_BHD, keys_BCHD, values_BCHD, step)
        return
    size = k_BHD[0].numel()
    run(
        "write_kv", (len(k_BHD),), k_BHD, v_BHD, keys_BCHD, values_BCHD, step,
        k_BHD.stride(0), v_BHD.stride(0), keys_BCHD.shape[1],
        SIZE=size, BLOCK=next_power_of_2(size),
    )  # fmt: skip


def write_kv_plain(k_BHD: Tensor, v_BHD: Tensor, keys_BCHD: Tensor, values_BCHD: Tensor, step: Tensor) -> None:
    keys_BCHD.index_copy_(1, step, k_BHD.to(keys_BCHD.dtype)[:, None])
    values_BCHD.index_copy_(1, step, v_BHD.to(values_BCHD.dtype)[:, None])


class _Gated(Function):
    @staticmethod
    def forward(ctx: Ctx, gate: Tensor, up: Tensor) -> Tensor:
        gate, up = gate.contiguous(), up.contiguous()
        ctx.save_for_backward(gate, up)
        out, width = torch.empty_like(gate), gate.shape[-1]
        run("gate_forward", _blocks(out), gate, up, out, width, width, BLOCK=_BLOCK)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        grad, width = grad.contiguous(), gate.shape[-1]
        grad_gate, grad_up = torch.empty_like(gate), torch.empty_like(up)
        run(
            "gate_backward", _blocks(grad), grad, gate, up, grad_gate, grad_up, grad, width, width,
            GIVEN=False, BLOCK=_BLOCK,
        )  # fmt: skip
        return grad_gate, grad_up


class _Rotated(Function):
    @staticmethod
    def forward(ctx: Ctx, q_NHD: Tensor, k_NHD: Tensor, cos_NR: Tensor, sin_NR: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(cos_NR, sin_NR)
        return _turned(q_NHD, k_NHD, cos_NR, sin_NR, backwards=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Ctx, grad_q: Tensor, grad_k: Tensor) -> tuple[Tensor | None, ...]:
        return *_turned(grad_q, grad_k, *ctx.saved_tensors, backwards=True), None, None


def _turned(q_NHD: Tensor, k_NHD: Tensor, cos_NR: Tensor, sin_NR: Tensor, backwards: bool) -> tuple[Tensor, Tensor]:
    if cos_NR.stride() != sin_NR.stride() or cos_NR.stride(-1) != 1:
        cos_NR, sin_NR = cos_NR.contiguous(), sin_NR.contiguous()
    q, k = contiguous_by_token(q_NHD), contiguous_by_token(k_NHD)
    outs, width, turning = (q.new_empty(q.shape), k.new_empty(k.shape)), q.shape[-1], cos_NR.shape[-1]
    if len(q):
        run(
            "rotate", (len(q), 2), q, k, cos_NR, sin_NR, *outs,
            q.stride(0), k.stride(0), cos_NR.stride(0), q.shape[1], k.shape[1],
            WIDTH=width, HALF=turning // 2, HEADS_Q=next_power_of_2(q.shape[1]), HEADS_K=next_power_of_2(k.shape[1]),
            COLUMNS=next_power_of_2(turning // 2), REST=next_power_of_2(width - turning) if width > turning else 0,
            BACKWARDS=backwards,
        )  # fmt: skip
    return outs


def contiguous_by_token(x: Tensor) -> Tensor:
    """`x` itself where each x[i] is contiguous (a token's heads in a joint product), else a contiguous copy."""
    return x if x.is_contiguous() or (len(x) and x[0].is_contiguous()) else x.contiguous()


_BLOCK = 1024


def _blocks(x: Tensor) -> tuple[int, int]:
    """The launch grid: all rows, and the blocks that cover one row."""
    width = x.shape[-1]
    return x.numel() // width, -(-width // _BLOCK)


def run(kernel: str, grid: tuple[int, ...], x: Tensor, *others: object, **options: object) -> None:
    """Launch a kernel of `triton.elementwise` on the device of `x`."""
    from kairos.policy.network.kernels.triton import elementwise as kernels  # Triton is not everywhere

    launch(getattr(kernels, kernel), grid, x, *others, **options)
