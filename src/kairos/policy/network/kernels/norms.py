"""The operators of the residual stream: addition, root-mean-square norm, and both in one kernel."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import rms_norm

from kairos.policy.network.kernels.autograd import Ctx
from kairos.policy.network.kernels.dispatch import uses_triton
from kairos.policy.network.kernels.elementwise import contiguous_by_token, run
from kairos.policy.network.kernels.launch import next_power_of_2


def normed(x: Tensor, gain: Tensor, epsilon: float, dtype: torch.dtype) -> Tensor:
    """Root-mean-square norm over the last dimension times `gain` (fp32), computed in fp32, returned as `dtype`."""
    return _Normed.apply(x, None, gain, epsilon, dtype) if uses_triton(x) else normed_plain(x, gain, epsilon, dtype)


def normed_plain(x: Tensor, gain: Tensor, epsilon: float, dtype: torch.dtype) -> Tensor:
    return rms_norm(x.float(), gain.shape, gain, epsilon).to(dtype)


def normed_sum(x: Tensor, y: Tensor, gain: Tensor, epsilon: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """x + y in the wider of their dtypes, and the norm of the sum as `dtype`."""
    if not uses_triton(x):
        return normed_sum_plain(x, y, gain, epsilon, dtype)
    return _Normed.apply(x, y, gain, epsilon, dtype)


def normed_sum_plain(x: Tensor, y: Tensor, gain: Tensor, epsilon: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    total = x + y
    return total, normed_plain(total, gain, epsilon, dtype)


def added(x: Tensor, y: Tensor) -> Tensor:
    """x + y of one shape. On a GPU a kernel adds different dtypes, which torch does slowly."""
    return _Added.apply(x, y) if x.dtype != y.dtype and uses_triton(x) else x + y


class _DtypesCtx(Ctx):
    dtypes: tuple[torch.dtype, torch.dtype | None]


class _Normed(Function):
    """The norm of `x`; with `y`, x + y and the norm of that sum."""

    @staticmethod
    def forward(
        ctx: _DtypesCtx, x: Tensor, y: Tensor | None, gain: Tensor, epsilon: float, dtype: torch.dtype
    ) -> Tensor | tuple[Tensor, Tensor]:
        x, width = contiguous_by_token(x), x.shape[-1]
        rows, block = x.numel() // width, next_power_of_2(width)
        out, scale = x.new_empty(x.shape, dtype=dtype), x.new_empty(rows, dtype=torch.float32)
        total = x if y is None else x.new_empty(x.shape, dtype=torch.promote_types(x.dtype, y.dtype))
        together = max(1, _TILE // block)
        if rows:
            run(
                "norm_forward", (-(-rows // together),), x, x if y is None else y.contiguous(), gain, total, out, scale,
                rows, width, *_heads(x), epsilon,
                ADDED=y is not None, ROWS=together, BLOCK=block,
            )  # fmt: skip
        ctx.save_for_backward(total, gain, scale)
        ctx.dtypes = x.dtype, None if y is None else y.dtype
        return out if y is None else (total, out)

    @staticmethod
    @once_differentiable
    def backward(ctx: _DtypesCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        total, gain, scale = ctx.saved_tensors
        of_x, of_y = ctx.dtypes
        grad_total, grad = grads[0].contiguous(), grads[-1].contiguous()
        width, rows = total.shape[-1], scale.numel()
        block = next_power_of_2(width)
        together = max(1, _TILE // block)
        turns = max(1, -(-rows // (_PROGRAMS * together)))
        programs = -(-rows // (turns * together))
        grad_x, parts = total.new_empty(total.shape, dtype=of_x), gain.new_empty(programs, width, dtype=torch.float32)
        grad_y = grad_x if of_y in (None, of_x) else torch.empty_like(grad_x, dtype=of_y)
        if rows:
            run(
                "norm_backward", (programs,), grad, grad_total, total, gain, scale, grad_x, grad_y, parts,
                rows, width, *_heads(total), turns,
                ADDED=of_y is not None, ROWS=together, BLOCK=block,
            )  # fmt: skip
        return grad_x, None if of_y is None else grad_y, parts.sum(0).to(gain.dtype), None, None


def _heads(x: Tensor) -> tuple[int, int]:
    """Rows of one contiguous block, and the stride between blocks."""
    return max(1, prod(x.shape[1:-1])), x.stride(0)


_TILE = 2048  # numbers of one program of a norm; at least a whole row
_PROGRAMS = 512  # of a norm's backward pass at most


class _Added(Function):
    @staticmethod
    def forward(ctx: _DtypesCtx, x: Tensor, y: Tensor) -> Tensor:
        x, y = x.contiguous(), y.contiguous()
        ctx.dtypes = x.dtype, y.dtype
        out = x.new_empty(x.shape, dtype=torch.promote_types(x.dtype, y.dtype))
        if size := out.numel():
            run("add", (-(-size // _BLOCK),), x, y, out, size, BLOCK=_BLOCK)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: _DtypesCtx, grad: Tensor) -> tuple[Tensor, Tensor]:
        of_x, of_y = ctx.dtypes
        return grad.to(of_x), grad.to(of_y)


_BLOCK = 1024
