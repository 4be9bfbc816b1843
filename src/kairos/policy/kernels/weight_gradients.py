"""WeightGradients of matrices, summed in fp32 and, where that is asked for, onto those that are there.

autograd takes a gradient that was written down, reads it and the `grad` that is there, and writes their sum: on a GPU
that takes as long as casting all weights. A product can begin with what is there instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.policy.kernels.dispatch import keeps_fp32_sums


def product(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """a @ b as `dtype`: fp32 sums of bf16 products are not rounded on the way, where torch can do that."""
    return torch.mm(a, b, out_dtype=dtype) if keeps_fp32_sums(a, dtype) else (a @ b).to(dtype)


def add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += product(a, b, total.dtype); fp32 sums of bf16 products on a GPU without writing the product down."""
    if keeps_fp32_sums(a, total.dtype):
        torch.addmm(total, a, b, out_dtype=total.dtype, out=total)
    else:
        total.add_(product(a, b, total.dtype))


@contextmanager
def accumulating(on: bool = True) -> Iterator[None]:
    """Of what is computed inside, `backward` adds a weight's gradient to its `grad` as it sums it.

    autograd does it where there is no `grad` yet or another than the product's (dtype, layout), and for weights with
    hooks. Not for `torch.autograd.grad` or `backward(inputs=...)`, which would change the `grad` of weights that they
    do not name, nor where others are told of every gradient (DDP, FSDP).
    """
    token = _accumulating.set(on)
    try:
        yield
    finally:
        _accumulating.reset(token)


def is_accumulating() -> bool:
    return _accumulating.get()


_accumulating: ContextVar[bool] = ContextVar("accumulating", default=False)


@dataclass(frozen=True)
class WeightGradients:
    """Those of weights [N1, K], [N2, K], ... that are `rows` of one matrix, and of their biases.

    They are rows of one: contiguous views without a number in common, which autograd takes over as `grad`. `onto` are
    the weights, where what they already have is added to.
    """

    rows: Sequence[slice]
    width: int
    dtype: torch.dtype
    onto: Sequence[Tensor] = ()

    @classmethod
    def of(cls, weights: Sequence[Tensor], rows: Sequence[slice]) -> WeightGradients:
        return cls(rows, weights[0].shape[1], weights[0].dtype, weights if is_accumulating() else ())

    def accumulators(self) -> Sequence[Tensor | None]:
        """Each weight's `grad`, where it is there and may be added to."""
        if not self.onto:
            return [None] * len(self.rows)
        return [None if _watched(weight) else _whole(weight.grad, self.dtype) for weight in self.onto]

    def of_weights(self, grad_MN: Tensor, x_MK: Tensor | None, needed: Sequence[bool]) -> Sequence[Tensor | None]:
        """Of x @ weight.T; None where it was added to what is there. `x` may be wider than the weights."""
        if x_MK is None:  # not kept where none is needed
            return [None] * len(needed)
        x_MK, there = x_MK[:, : self.width], self.accumulators()
        together = _one_matrix(there, grad_MN.shape[1]) if all(needed) else None
        if together is not None:
            add_product(together, grad_MN.T, x_MK)
            return [None] * len(needed)
        for part, total, need in zip(self.rows, there, needed, strict=True):
            if need and total is not None:
                add_product(total, grad_MN[:, part].T, x_MK)
        rest = [need and total is None for total, need in zip(there, needed, strict=True)]
        return self._each(lambda part: product(grad_MN[:, part].T, x_MK, self.dtype), rest)

    def of_biases(self, grad_MN: Tensor, needed: Sequence[bool]) -> Sequence[Tensor | None]:
        return self._each(lambda part: grad_MN[:, part].sum(0, dtype=self.dtype), needed)

    def _each(self, gradient: Callable[[slice], Tensor], needed: Sequence[bool]) -> Sequence[Tensor | None]:
        """That of each part that needs one: computed whole where all do."""
        if all(needed):
            whole = gradient(slice(None))
            return [whole[part] for part in self.rows]
        return [gradient(part) if need else None for part, need in zip(self.rows, needed, strict=True)]


def _whole(grad: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return grad if grad is not None and grad.dtype == dtype and grad.is_contiguous() else None


def _one_matrix(parts: Sequence[Tensor | None], height: int) -> Tensor | None:
    """[height, K] where the parts, one right behind the other, are all of it: as the first gradients are made."""
    first, end = parts[0], 0
    if first is None:
        return None
    width = first.shape[1]
    for part in parts:
        if part is None or part.untyped_storage().data_ptr() != first.untyped_storage().data_ptr():
            return None
        if part.storage_offset() != first.storage_offset() + end * width:
            return None
        end += len(part)
    return first.as_strided((height, width), (width, 1)) if end == height else None


def _watched(weight: Tensor) -> bool:
    """Whether somebody is to be told of its gradient, be it what the weight was computed from."""
    hooks = weight._backward_hooks or getattr(weight, "_post_accumulate_grad_hooks", None)
    return bool(hooks) or not weight.is_leaf
