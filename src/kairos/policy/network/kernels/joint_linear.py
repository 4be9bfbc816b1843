"""Computes linear layers that read the same input as one matrix product, forward and backward.

A gated MLP is one operator, which can recompute its intermediate activations in the backward pass.

Autocast casts every weight separately, rounds its gradient to bf16 and casts that back to fp32. Here weights are cast
into one matrix, and on a GPU their gradients keep the fp32 sums of the product, so they are never less precise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import accumulate
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from kairos.policy.network.kernels.autograd import Ctx
from kairos.policy.network.kernels.dispatch import joinable, matmul_dtype
from kairos.policy.network.kernels.elementwise import gated_pair, gated_pair_gradient
from kairos.policy.network.kernels.weight_gradients import WeightGradients

T = TypeVar("T")


def outputs(x: Tensor, *parts: nn.Linear) -> Sequence[Tensor]:
    """The output of each layer, [..., N1], [..., N2], ...; views of one product where the layers are `joinable`."""
    if not joinable(x, *parts):
        return [part(x) for part in parts]
    together = joint(x, *parts)
    return [together] if len(parts) == 1 else together.split([part.out_features for part in parts], dim=-1)


def joint(x: Tensor, *parts: nn.Linear, pad_columns: int = 0) -> Tensor:
    """The concatenated outputs of layers that `only_multiply`: [..., K] -> [..., N1 + N2 + ...], in `matmul_dtype`.

    `pad_columns` zeros follow each layer's output. A layer of fewer than K inputs reads the first ones.
    """
    x_MK = x.to(matmul_dtype(x, parts[0].weight.dtype)).flatten(0, -2)
    out_MN: Tensor = _Joint.apply(x_MK, pad_columns, *(part.weight for part in parts), *(part.bias for part in parts))
    return out_MN if x.ndim == 2 else out_MN.unflatten(0, x.shape[:-1])


def joint_mlp(
    x: Tensor, gate: nn.Linear, up: nn.Linear, down: nn.Linear, recompute: bool, pad_columns: int = 0
) -> Tensor:
    """down(silu(gate(x)) * up(x)) of layers that `only_multiply`, [..., K] -> [..., K].

    The backward pass keeps the input and, without `recompute`, the outputs of gate and up and the cast weights.
    `pad_columns` zeros follow each of these two outputs; they do not change the result.
    """
    parts = (gate, up, down)
    x_MK = x.to(matmul_dtype(x, gate.weight.dtype)).flatten(0, -2)
    out_MK: Tensor = _JointMLP.apply(x_MK, pad_columns, recompute, *(p.weight for p in parts), *(p.bias for p in parts))
    return out_MK if x.ndim == 2 else out_MK.unflatten(0, x.shape[:-1])


@contextmanager
def weights_cast_once() -> Iterator[None]:
    """Inside this context each weight is cast once, however often it is used. Weights must not change inside."""
    token = _cast_once.set({})
    try:
        yield
    finally:
        _cast_once.reset(token)


def cast_weight(x: Tensor, weight: Tensor) -> Tensor:
    """The weight in the dtype of `x`."""
    return weight if weight.dtype == x.dtype else _matrix(x, 0, [weight], [None]).weight_NK


class _Matrix(NamedTuple):
    """Weights and biases of several layers, stacked and cast."""

    weight_NK: Tensor
    bias_N: Tensor | None
    """None where no layer has a bias."""
    made_of: Sequence[Tensor]
    """The weights, kept alive so that no later weight gets the `id` of one of them."""


_cast_once: ContextVar[dict[object, _Matrix] | None] = ContextVar("weights_cast_once", default=None)


def _matrix(x_MK: Tensor, pad_columns: int, weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> _Matrix:
    """Stack weights and biases, as wide as `x` and in its dtype. Inside `weights_cast_once` the result is cached."""
    known, key = _cast_once.get(), None
    if known is not None and all(weight.dtype != x_MK.dtype for weight in weights):
        key = (*map(id, weights), pad_columns, x_MK.shape[1], x_MK.dtype)
        if key in known:
            return known[key]
    rows = _rows(weights, pad_columns)
    made = _Matrix(
        _stacked(x_MK, weights, rows, pad_columns, x_MK.shape[1]),
        None if all(bias is None for bias in biases) else _stacked(x_MK, biases, rows, pad_columns),
        weights,
    )
    if known is not None and key is not None:
        known[key] = made
    return made


def _stacked(
    x: Tensor, parts: Sequence[Tensor | None], rows: Sequence[slice], pad_columns: int, *columns: int
) -> Tensor:
    """Copy the parts to `rows` of one tensor [N, *columns] in the dtype of `x`; zeros fill the rest."""
    given = [part for part in parts if part is not None]
    if pad_columns == 0 and len(given) == len(parts) and given[0].shape[1:] == columns:
        if len(given) == 1:
            return given[0].detach().to(x.dtype)
        return torch.cat(given, out=x.new_empty(rows[-1].stop, *columns))
    out = x.new_zeros(rows[-1].stop + pad_columns, *columns)
    for row, part in zip(rows, parts, strict=True):
        if part is not None:
            out[(row, *map(slice, part.shape[1:]))].copy_(part)
    return out


def _rows(weights: Sequence[Tensor], pad_columns: int) -> list[slice]:
    """The rows of each weight in the joint matrix; `pad_columns` rows follow each."""
    heights = [weight.shape[0] for weight in weights]
    begins = accumulate((height + pad_columns for height in heights[:-1]), initial=0)
    return [slice(begin, begin + height) for begin, height in zip(begins, heights, strict=True)]


class _JointCtx(Ctx):
    gradients: WeightGradients


class _Joint(Function):
    """`parameters` are the weights, then a bias or None for each weight."""

    @staticmethod
    def forward(ctx: _JointCtx, x_MK: Tensor, pad_columns: int, *parameters: Tensor) -> Tensor:
        weights, biases = _halves(parameters)
        weight_NK, bias_N, _ = _matrix(x_MK, pad_columns, weights, biases)
        needs_x, _, *needs = ctx.needs_input_grad
        ctx.save_for_backward(x_MK if any(_halves(needs)[0]) else None, weight_NK if needs_x else None)
        ctx.gradients = WeightGradients.of(weights, _rows(weights, pad_columns))
        return linear(x_MK, weight_NK, bias_N)

    @staticmethod
    @once_differentiable
    def backward(ctx: _JointCtx, grad_MN: Tensor) -> tuple[Tensor | None, ...]:
        x_MK, weight_NK = ctx.saved_tensors
        needs_x, _, *needs = ctx.needs_input_grad
        gradients = ctx.gradients
        need_weights, need_biases = _halves(needs)
        return (
            grad_MN @ weight_NK if needs_x else None,
            None,
            *gradients.of_weights(grad_MN, x_MK, need_weights),
            *gradients.of_biases(grad_MN, need_biases),
        )


class _JointMLPCtx(Ctx):
    gradients: tuple[WeightGradients, WeightGradients]
    pad_columns: int
    recompute: bool


class _JointMLP(Function):
    """`parameters` are the weights of gate, up and down, then a bias or None for each weight."""

    @staticmethod
    def forward(ctx: _JointMLPCtx, x_MK: Tensor, pad_columns: int, recompute: bool, *parameters: Tensor) -> Tensor:
        first, last = _JointMLP.matrices(x_MK, pad_columns, parameters)
        pair_MN = linear(x_MK, first.weight_NK, first.bias_N)
        weights, _ = _halves(parameters)
        needs_x, _, _, *needs = ctx.needs_input_grad
        if recompute:
            ctx.save_for_backward(x_MK, *parameters)
        else:
            learns = any(_halves(needs)[0][:2])
            kept = (x_MK if learns else None, pair_MN, first.weight_NK if needs_x else None, last.weight_NK)
            ctx.save_for_backward(*kept)
        ctx.gradients = (
            WeightGradients.of(weights[:2], _rows(weights[:2], pad_columns), zero_between=True),
            WeightGradients.of(weights[2:], _rows(weights[2:], 0)),
        )
        ctx.pad_columns, ctx.recompute = pad_columns, recompute
        return linear(gated_pair(pair_MN), last.weight_NK, last.bias_N)

    @staticmethod
    def matrices(x_MK: Tensor, pad_columns: int, parameters: Sequence[Tensor]) -> tuple[_Matrix, _Matrix]:
        """The joint matrix of gate and up, and that of down, which reads their product and its `pad_columns` zeros."""
        weights, biases = _halves(parameters)
        inner_MF = x_MK.new_empty(0, weights[0].shape[0] + pad_columns)
        return _matrix(x_MK, pad_columns, weights[:2], biases[:2]), _matrix(inner_MF, 0, weights[2:], biases[2:])

    @staticmethod
    @once_differentiable
    def backward(ctx: _JointMLPCtx, grad_MK: Tensor) -> tuple[Tensor | None, ...]:
        x_MK, *kept = ctx.saved_tensors
        if ctx.recompute:
            first, last = _JointMLP.matrices(x_MK, ctx.pad_columns, kept)
            first_NK, last_KF = first.weight_NK, last.weight_NK
            pair_MN = linear(x_MK, first_NK, first.bias_N)
        else:
            pair_MN, first_NK, last_KF = kept
        needs_x, _, _, *needs = ctx.needs_input_grad
        first, last = ctx.gradients
        need_weights, need_biases = _halves(needs)
        grad_MN, inner_MF = gated_pair_gradient(grad_MK @ last_KF, pair_MN)
        return (
            grad_MN @ first_NK if needs_x else None,
            None,
            None,
            *first.of_weights(grad_MN, x_MK, need_weights[:2]),
            *last.of_weights(grad_MK, inner_MF, need_weights[2:]),
            *first.of_biases(grad_MN, need_biases[:2]),
            *last.of_biases(grad_MK, need_biases[2:]),
        )


def _halves(both: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """The first and the second half: what concerns weights, and what concerns biases."""
    return both[: len(both) // 2], both[len(both) // 2 :]
