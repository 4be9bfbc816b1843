"""The causal convolution and silu of packed prompts and rows, each with its own past."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv1d, silu

from kairos.policy.network.delta_net.decode import weighed
from kairos.policy.network.delta_net.indices import Edges, edges
from kairos.policy.network.kernels.autograd import Ctx
from kairos.policy.network.kernels.dispatch import uses_triton
from kairos.policy.network.kernels.elementwise import by_token
from kairos.policy.network.kernels.launch import launch
from kairos.policy.network.segments import Segments

_TOKENS, _CHANNELS = 32, 128  # that one program takes


def convolved(mixed_ND: Tensor, weight_DK: Tensor, segments: Segments) -> Tensor:
    """silu of every token's last K inputs, its own the last, times its channel's weights: [N, D] in mixed's dtype.

    Before a prompt stand zeros, before a row its prompt's end.
    """
    found = edges(segments, weight_DK.shape[1], mixed_ND.device)
    if uses_triton(mixed_ND):
        return _Convolved.apply(mixed_ND, weight_DK, found)
    return convolved_plain(mixed_ND, weight_DK, found)


def convolved_plain(mixed_ND: Tensor, weight_DK: Tensor, edges: Edges) -> Tensor:
    """As one sequence, then the first tokens of each prompt and row again, whose past is another."""
    channels, reach = weight_DK.shape
    weight_D1K = weight_DK.to(mixed_ND.dtype)[:, None]
    whole_DN = conv1d(mixed_ND.T[None], weight_D1K, padding=reach - 1, groups=channels)[0, :, : len(mixed_ND)]
    weighed_MD = weighed(or_zero(mixed_ND, edges.window_MK), weight_DK)
    return silu(whole_DN.T.index_copy(0, edges.token_M, weighed_MD.to(whole_DN.dtype)))


def or_zero(x_ND: Tensor, index: Tensor) -> Tensor:
    """Tokens by index [..., D]; the index N stands for zeros."""
    there = index < len(x_ND)
    picked = x_ND.index_select(0, index.clamp(max=len(x_ND) - 1).flatten()).unflatten(0, index.shape)
    return picked * there[..., None]


class _ConvolvedCtx(Ctx):
    edges: Edges


class _Convolved(Function):
    @staticmethod
    def forward(ctx: _ConvolvedCtx, mixed_ND: Tensor, weight_DK: Tensor, edges: Edges) -> Tensor:
        x, weight = by_token(mixed_ND), weight_DK.contiguous()
        out = x.new_empty(x.shape)
        given = x, x.stride(0), weight, edges.edge_N, edges.window_MK
        _run("convolve_forward", *given, out, reach=weight.shape[1])
        ctx.save_for_backward(x, weight)
        ctx.edges = edges
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: _ConvolvedCtx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        edges = ctx.edges
        reach, inner, grad_x = weight.shape[1], x.new_empty(x.shape), x.new_empty(x.shape)
        parts = x.new_empty(_grid(x)[0], reach, x.shape[1], dtype=torch.float32)
        given = grad.contiguous(), x, x.stride(0), weight, edges.edge_N, edges.window_MK
        _run("convolve_inner", *given, inner, parts, reach=reach)
        _run("convolve_backward", inner, weight, edges.edge_N, grad_x, reach=reach)
        given_ED = inner.index_select(0, edges.from_E).float() * weight.float().T.index_select(0, edges.tap_E)
        grad_x.index_add_(0, edges.to_E, given_ED.to(grad_x.dtype))
        return grad_x, parts.sum(0).T.to(weight.dtype), None


def _run(kernel: str, x_ND: Tensor, *others: object, reach: int) -> None:
    """A kernel over all tokens and channels of its first argument."""
    from kairos.policy.network.kernels.triton import (
        delta_convolution as convolution_kernels,  # Triton is not everywhere
    )

    if len(x_ND):
        launch(
            getattr(convolution_kernels, kernel), _grid(x_ND), x_ND, *others, *x_ND.shape,
            REACH=reach, TOKENS=_TOKENS, BLOCK=_CHANNELS, num_warps=4,
        )  # fmt: skip


def _grid(x_ND: Tensor) -> tuple[int, int]:
    tokens, width = x_ND.shape
    return -(-tokens // _TOKENS), -(-width // _CHANNELS)
