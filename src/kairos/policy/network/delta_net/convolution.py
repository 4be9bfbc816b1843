"""Causal convolution and silu over packed prompts and rows; a row's window reaches back into its prompt."""

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
from kairos.policy.network.kernels.elementwise import contiguous_by_token
from kairos.policy.network.kernels.launch import launch
from kairos.policy.network.segments import Segments

_TOKENS, _CHANNELS = 32, 128  # of one program


def convolved(mixed_ND: Tensor, weight_DK: Tensor, segments: Segments) -> Tensor:
    """silu(causal depthwise convolution) of `mixed` with kernels of K taps: [N, D] in the dtype of `mixed`.

    A prompt's first tokens see zeros before them, a row's first tokens see the end of its prompt.
    """
    found = edges(segments, weight_DK.shape[1], mixed_ND.device)
    if uses_triton(mixed_ND):
        return _Convolved.apply(mixed_ND, weight_DK, found)
    return convolved_plain(mixed_ND, weight_DK, found)


def convolved_plain(mixed_ND: Tensor, weight_DK: Tensor, edges: Edges) -> Tensor:
    """Convolves all tokens as one sequence, then corrects the first tokens of each prompt and row."""
    channels, reach = weight_DK.shape
    weight_D1K = weight_DK.to(mixed_ND.dtype)[:, None]
    whole_DN = conv1d(mixed_ND.T[None], weight_D1K, padding=reach - 1, groups=channels)[0, :, : len(mixed_ND)]
    weighed_MD = weighed(take_or_zero(mixed_ND, edges.window_MK), weight_DK)
    return silu(whole_DN.T.index_copy(0, edges.token_M, weighed_MD.to(whole_DN.dtype)))


def take_or_zero(x_ND: Tensor, index: Tensor) -> Tensor:
    """Take tokens by index -> [..., D]; index N gives zeros."""
    valid = index < len(x_ND)
    picked = x_ND.index_select(0, index.clamp(max=len(x_ND) - 1).flatten()).unflatten(0, index.shape)
    return picked * valid[..., None]


class _ConvolvedCtx(Ctx):
    edges: Edges


class _Convolved(Function):
    @staticmethod
    def forward(ctx: _ConvolvedCtx, mixed_ND: Tensor, weight_DK: Tensor, edges: Edges) -> Tensor:
        x, weight = contiguous_by_token(mixed_ND), weight_DK.contiguous()
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
    """Launch a kernel over all tokens and channels of `x`."""
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
