"""Gradients of matrices, summed in fp32 and, where that is asked for, onto those that are there.

autograd takes a gradient that was written down, reads it and the `grad` that is there, and writes their sum: on a GPU
as much as casting all weights takes. A product can begin with what is there instead; its sums are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor


def product(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """a @ b as `dtype`: fp32 sums of bf16 products are not rounded on the way, where torch can do that."""
    return torch.mm(a, b, out_dtype=dtype) if _unrounded(a, dtype) else (a @ b).to(dtype)


def add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += product(a, b, total.dtype), where torch can do that without writing the product down."""
    if _unrounded(a, total.dtype):
        torch.addmm(total, a, b, out_dtype=total.dtype, out=total)
    else:
        total.add_(product(a, b, total.dtype))


def _unrounded(a: Tensor, dtype: torch.dtype) -> bool:
    return a.is_cuda and dtype == torch.float32 and a.dtype != dtype


@contextmanager
def accumulating(on: bool = True) -> Iterator[None]:
    """Of what is computed inside, `backward` adds a weight's gradient to its `grad` as it sums it.

    autograd does it where there is no `grad` yet, and where the weight has hooks. Not for `torch.autograd.grad`, which
    would find none, nor where others are told of every gradient (DDP, FSDP).
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
class Gradients:
    """Those of weights [N1, K], [N2, K], ... that are `rows` of one matrix, and of their biases.

    They are rows of one: contiguous views without a number in common, which autograd takes over as `grad`. `onto` are
    the weights, where what they already have is added to.
    """

    rows: Sequence[slice]
    width: int
    dtype: torch.dtype
    onto: Sequence[Tensor] = ()

    @classmethod
    def of(cls, weights: Sequence[Tensor], rows: Sequence[slice]) -> Gradients:
        return cls(rows, weights[0].shape[1], weights[0].dtype, weights if is_accumulating() else ())

    def there(self, height: int) -> Tensor | None:
        """The matrix [height, K] that holds each weight's `grad` in its rows; None where that may not be added to."""
        grads = [None if _watched(weight) else weight.grad for weight in self.onto]
        first = grads[0] if grads else None
        if first is None:
            return None
        begin, whole = first.storage_offset(), first.untyped_storage()
        for part, grad in zip(self.rows, grads, strict=True):
            if grad is None or grad.dtype != self.dtype or not grad.is_contiguous():
                return None
            if grad.untyped_storage().data_ptr() != whole.data_ptr():
                return None
            if grad.storage_offset() != begin + part.start * self.width:
                return None
        if (begin + height * self.width) * first.element_size() > whole.nbytes():
            return None
        return first.as_strided((height, self.width), (self.width, 1))

    def of_weights(self, grad_MN: Tensor, x_MK: Tensor, needed: Sequence[bool]) -> Sequence[Tensor | None]:
        """Of x @ weight.T; None where it was added to what is there. `x` may be wider than the weights."""
        total = self.there(grad_MN.shape[1]) if all(needed) else None
        if total is None:
            return self._each(lambda part: product(grad_MN[:, part].T, x_MK[:, : self.width], self.dtype), needed)
        add_product(total, grad_MN.T, x_MK[:, : self.width])
        return [None] * len(needed)

    def of_biases(self, grad_MN: Tensor, needed: Sequence[bool]) -> Sequence[Tensor | None]:
        return self._each(lambda part: grad_MN[:, part].sum(0, dtype=self.dtype), needed)

    def _each(self, gradient: Callable[[slice], Tensor], needed: Sequence[bool]) -> Sequence[Tensor | None]:
        """That of each part that needs one: computed whole where all do."""
        if all(needed):
            whole = gradient(slice(None))
            return [whole[part] for part in self.rows]
        return [gradient(part) if need else None for part, need in zip(self.rows, needed, strict=True)]


def _watched(weight: Tensor) -> bool:
    """Whether somebody is to be told of its gradient."""
    return bool(weight._backward_hooks) or bool(getattr(weight, "_post_accumulate_grad_hooks", None))
