"""Recomputes activations in the backward pass instead of keeping them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import ParamSpec, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.autograd.graph import get_gradient_edge
from torch.distributed.tensor import DTensor
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.checkpoint import checkpoint

from kairos.policy.network.kernels.autograd import Ctx
from kairos.policy.network.kernels.modules import modules_of, parameters_of
from kairos.policy.network.kernels.weight_gradients import accumulating, is_accumulating

P = ParamSpec("P")
T = TypeVar("T")


def recomputed(compute: Callable[P, T], *inputs: P.args, **options: P.kwargs) -> T:
    """`compute(*inputs)`, keeping only its inputs; the backward pass calls it again with the same random numbers."""
    if not torch.is_grad_enabled():
        return compute(*inputs, **options)
    return cast("T", checkpoint(compute, *inputs, use_reentrant=False, **options))


def recomputed_layer(compute: partial[Tensor], x: Tensor) -> Tensor:
    """Recompute a layer: `compute` is its forward method, bound to all arguments but `x`, as transformers passes it.

    The layer is one operator on `x` and its trained parameters. So the forward pass builds no graph, which would take
    the host as long as the GPU computes. Falls back to `recomputed` where parameters are sharded or have hooks, the
    layer is compiled, or it has dropout.
    """
    layer: nn.Module = compute.func.__self__
    modules = modules_of(layer)
    parameters = parameters_of(modules)
    special = any(isinstance(p, DTensor) or p._backward_hooks for p in parameters)
    if special or layer._compiled_call_impl is not None or any(map(_has_dropout, modules)):
        return recomputed(compute, x)
    return _Recomputed.apply(compute, x, *(p for p in parameters if p.requires_grad))


def _has_dropout(module: nn.Module) -> bool:
    """Whether a module drops activations at random; transformers' attention has a probability, no dropout module."""
    return (isinstance(module, _DropoutNd) and module.p > 0) or vars(module).get("attention_dropout", 0.0) > 0


class _RecomputedCtx(Ctx):
    compute: Callable[[Tensor], Tensor]
    precision: Callable[[], AbstractContextManager[object]]
    accumulating: bool


class _Recomputed(Function):
    @staticmethod
    def forward(ctx: _RecomputedCtx, compute: Callable[[Tensor], Tensor], x: Tensor, *trained: Tensor) -> Tensor:
        kind = x.device.type
        ctx.save_for_backward(x, *trained)
        ctx.compute = compute
        ctx.precision = partial(
            torch.autocast, kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind),
            torch.is_autocast_cache_enabled(),
        )  # fmt: skip
        ctx.accumulating = is_accumulating()
        return compute(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: _RecomputedCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *trained = ctx.saved_tensors
        needs_x = ctx.needs_input_grad[1]
        x = x.detach().requires_grad_(needs_x)
        with torch.enable_grad(), ctx.precision(), accumulating(ctx.accumulating):
            out = get_gradient_edge(ctx.compute(x))  # the output itself can be freed
        grads = torch.autograd.grad(out, [x, *trained] if needs_x else trained, grad, allow_unused=True)
        return (None, *grads) if needs_x else (None, None, *grads)
