"""Computes weight gradients of matrix products: summed in fp32 and, inside `accumulating`, added to `weight.grad`.

autograd writes a new gradient to memory, reads it and `weight.grad` again, and writes their sum: on a GPU that takes as
long as casting all weights. Here the matrix product itself adds to `weight.grad`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.policy.network.kernels.dispatch import keeps_fp32_sums


def product(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """a @ b as `dtype`. The fp32 sums of bf16 products are not rounded to bf16 where torch can avoid it."""
    return torch.mm(a, b, out_dtype=dtype) if keeps_fp32_sums(a, dtype) else (a @ b).to(dtype)


def add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += product(a, b, total.dtype), of which `total` holds the first columns.

    On a GPU bf16 products as wide as `total` are added without being written to memory. Wider ones are padded to an
    aligned width, without which the GPU takes kernels several times slower than writing and adding.
    """
    if b.shape[1] > total.shape[1]:
        total.add_(product(a, b, total.dtype)[:, : total.shape[1]])
    elif keeps_fp32_sums(a, total.dtype):
        torch.addmm(total, a, b, out_dtype=total.dtype, out=total)
    else:
        total.add_(product(a, b, total.dtype))


@contextmanager
def accumulating(on: bool = True) -> Iterator[None]:
    """Operators whose forward pass runs inside this context accumulate into `weight.grad` in their backward pass.

    autograd still accumulates where `weight.grad` is None or has another dtype or layout than the product, and for
    weights with hooks. Do not use the context with `torch.autograd.grad` or `backward(inputs=...)`, which would change
    the `grad` of other weights, nor where gradients have hooks (DDP, FSDP).
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
    """Computes the gradients of weights [N1, K], [N2, K], ... that are stacked in one matrix, and of their biases.

    New gradients are contiguous views of one matrix that do not overlap; autograd keeps them as `grad`.
    """

    rows: Sequence[slice]
    """The rows of each weight in the matrix."""
    width: int
    """K, the inputs of each layer."""
    dtype: torch.dtype
    """Of the weights and of their gradients."""
    onto: Sequence[Tensor] = ()
    """The weights whose `grad` may be accumulated into; empty outside `accumulating`."""
    zero_between: bool = False
    """Whether the gradients of padding rows between the weights are 0: what lies there may then be added to."""

    @classmethod
    def of(cls, weights: Sequence[Tensor], rows: Sequence[slice], zero_between: bool = False) -> WeightGradients:
        return cls(rows, weights[0].shape[1], weights[0].dtype, weights if is_accumulating() else (), zero_between)

    def accumulators(self) -> Sequence[Tensor | None]:
        """Each weight's `grad` where it may be accumulated into, else None."""
        if not self.onto:
            return [None] * len(self.rows)
        return [None if _left_to_autograd(weight) else _if_addable(weight.grad, self.dtype) for weight in self.onto]

    def of_weights(self, grad_MN: Tensor, x_MK: Tensor | None, needed: Sequence[bool]) -> Sequence[Tensor | None]:
        """The gradients for the product x @ weight.T; None for a weight whose gradient was accumulated or not needed.

        `x` may be wider than the weights; it is None where no weight needs a gradient.
        """
        if x_MK is None:
            return [None] * len(needed)
        totals = self.accumulators()
        gapless = self.zero_between or sum(row.stop - row.start for row in self.rows) == grad_MN.shape[1]
        together = _one_matrix(totals, self.rows, grad_MN.shape[1]) if gapless and all(needed) else None
        if together is not None:
            add_product(together, grad_MN.T, x_MK)
            return [None] * len(needed)
        for part, total, need in zip(self.rows, totals, needed, strict=True):
            if need and total is not None:
                add_product(total, grad_MN[:, part].T, x_MK)
        rest = [need and total is None for total, need in zip(totals, needed, strict=True)]
        return self._each(lambda part: self._new(grad_MN[:, part], x_MK), rest)

    def _new(self, grad_MN: Tensor, x_MK: Tensor) -> Tensor:
        return product(grad_MN.T, x_MK, self.dtype)[:, : self.width].contiguous()

    def of_biases(self, grad_MN: Tensor, needed: Sequence[bool]) -> Sequence[Tensor | None]:
        """The gradients of the biases; None for one that is not needed."""
        return self._each(lambda part: grad_MN[:, part].sum(0, dtype=self.dtype), needed)

    def _each(self, gradient: Callable[[slice], Tensor], needed: Sequence[bool]) -> Sequence[Tensor | None]:
        """`gradient` of each needed part; where all are needed, views of a single product."""
        if all(needed):
            whole = gradient(slice(None))
            return [whole[part] for part in self.rows]
        return [gradient(part) if need else None for part, need in zip(self.rows, needed, strict=True)]


def _if_addable(grad: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """`grad` where a product of `dtype` can be added to it in place, else None."""
    return grad if grad is not None and grad.dtype == dtype and grad.is_contiguous() else None


def _one_matrix(parts: Sequence[Tensor | None], rows: Sequence[slice], height: int) -> Tensor | None:
    """The matrix [height, K] of which the parts are these rows, as new gradients are; None where they are not."""
    first = parts[0]
    if first is None:
        return None
    width, begin = first.shape[1], first.storage_offset() - rows[0].start * first.shape[1]
    storage = first.untyped_storage()
    for part, row in zip(parts, rows, strict=True):
        if part is None or part.untyped_storage().data_ptr() != storage.data_ptr():
            return None
        if part.storage_offset() != begin + row.start * width or len(part) != row.stop - row.start:
            return None
    if begin < 0 or (begin + height * width) * first.element_size() > storage.nbytes():
        return None
    return first.as_strided((height, width), (width, 1), begin)


def _left_to_autograd(weight: Tensor) -> bool:
    """Has gradient hooks, or is not a leaf."""
    hooks = weight._backward_hooks or getattr(weight, "_post_accumulate_grad_hooks", None)
    return bool(hooks) or not weight.is_leaf
