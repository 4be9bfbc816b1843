"""The gated delta rule in plain torch and fp32, over whole sequences in chunks.

A head's state S is a matrix from keys to values. Each token decays S, reads the value that S stores for the token's
key, and writes back `beta` times the error:  S <- exp(decay) S;  S <- S + k (beta (v - k S));  o = q S.

Source: Yang et al. 2024, "Gated Delta Networks" (arXiv 2412.06464), and the chunked form of "Parallelizing Linear
Transformers with the Delta Rule over Sequence Length" (arXiv 2406.06484), with a triangular solve in place of the
UT recursion.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from kairos.policy.network.kernels.autograd import Ctx

CHUNK = 64


def working_bytes(values: int, heads: int) -> int:
    """Bytes a token that `over_sequences` and its backward pass hold at most besides their inputs.

    `values` is value heads times their width. The formula was fitted to counts on small sizes, plus a quarter for
    padding. A sequence shorter than a chunk may hold as much as a whole chunk: its states are as large.
    """
    return 125 * values + 1650 * heads + values * values // (4 * max(1, heads))


def over_sequences(
    q_SLHK: Tensor, k_SLHK: Tensor, v_SLHV: Tensor, decay_SLH: Tensor, beta_SLH: Tensor, state_SHKV: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Outputs [S, L, H, V] and final states [S, H, K, V], both fp32. Without `state` sequences start from zero.

    Queries and keys are L2-normalised here and may have fewer heads than the values. `decay` is a logarithm, at most 0.
    Sequences are padded with tokens of decay 0 and beta 0, which leave the state as it is.
    """
    with torch.autocast(q_SLHK.device.type, enabled=False):
        length, heads = v_SLHV.shape[1:3]
        q, k = (l2_normalized(repeat_heads(x, heads)).transpose(1, 2) for x in (q_SLHK, k_SLHK))
        v, decay, beta = (x.float().transpose(1, 2) for x in (v_SLHV, decay_SLH, beta_SLH))
        q = q * q.shape[-1] ** -0.5
        size = min(CHUNK, length)
        padding = -length % size
        q, k, v = (pad(x, (0, 0, 0, padding)).unflatten(2, (-1, size)) for x in (q, k, v))
        decay, beta = (pad(x, (0, padding)).unflatten(2, (-1, size)) for x in (decay, beta))

        total = decay.double().cumsum(-1)  # differences of large sums, which fp32 would round away
        later = torch.ones(size, size, dtype=torch.bool, device=q.device).triu(1)
        between = (total[..., :, None] - total[..., None, :]).float().masked_fill(later, -torch.inf).exp()
        since, until = total.float().exp()[..., None], (total[..., -1:] - total).float().exp()[..., None]
        eager = k * beta[..., None]
        system = (eager @ k.mT * between).tril(-1)
        wanted = torch.cat([v * beta[..., None], eager * since], dim=-1)
        solved = torch.linalg.solve_triangular(system, wanted, upper=False, unitriangular=True)
        values, reads = solved.split([v.shape[-1], k.shape[-1]], dim=-1)
        inside = q @ k.mT * between
        q, k, fade = q * since, k * until, since[..., -1:, :]

        # a chunk's effect on the state is linear, so only this recurrence runs from chunk to chunk
        kept = fade * torch.eye(k.shape[-1], device=k.device) - k.mT @ reads
        state = v.new_zeros(*v.shape[:2], k.shape[-1], v.shape[-1]) if state_SHKV is None else state_SHKV.float()
        given = kept.flatten(0, 1), (k.mT @ values).flatten(0, 1), state.flatten(0, 1)
        before, after = _Recurrence.apply(*given)
        before = before.unflatten(0, state.shape[:2])
        output = q @ before + inside @ (values - reads @ before)
        return output.flatten(2, 3)[:, :, :length].transpose(1, 2), after.view_as(state)


class _Recurrence(Function):
    """Runs S <- kept S + added over C chunks: the state before each [N, C, K, V], and the last one [N, K, V].

    Forward and backward take one matrix product a chunk.
    """

    @staticmethod
    def forward(ctx: Ctx, kept_NCKK: Tensor, added_NCKV: Tensor, state_NKV: Tensor) -> tuple[Tensor, Tensor]:
        before_NCKV, after_NKV = torch.empty_like(added_NCKV), torch.empty_like(state_NKV)
        before_NCKV[:, 0] = state_NKV
        states = [*before_NCKV.unbind(1), after_NKV]
        for chunk in range(len(states) - 1):
            torch.baddbmm(added_NCKV[:, chunk], kept_NCKK[:, chunk], states[chunk], out=states[chunk + 1])
        ctx.save_for_backward(kept_NCKK, before_NCKV)
        return before_NCKV, after_NKV

    @staticmethod
    @once_differentiable
    def backward(ctx: Ctx, before_NCKV: Tensor, after_NKV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        kept_NCKK, states_NCKV = ctx.saved_tensors
        added_NCKV, state_NKV = torch.empty_like(before_NCKV), torch.empty_like(after_NKV)
        added_NCKV[:, -1] = after_NKV
        whole = [state_NKV, *added_NCKV.unbind(1)]
        for chunk in range(len(whole) - 2, -1, -1):
            torch.baddbmm(before_NCKV[:, chunk], kept_NCKK[:, chunk].mT, whole[chunk + 1], out=whole[chunk])
        return added_NCKV @ states_NCKV.mT, added_NCKV, state_NKV


def l2_normalized(x: Tensor) -> Tensor:
    """Vectors of the last dimension divided by their length."""
    return x * (x.square().sum(-1, keepdim=True) + 1e-6).rsqrt()


def repeat_heads(x: Tensor, heads: int) -> Tensor:
    """Repeat each key head [..., Hk, K] for the value heads that share it -> fp32 [..., heads, K]."""
    return x.float().repeat_interleave(heads // x.shape[-2], dim=-2)
