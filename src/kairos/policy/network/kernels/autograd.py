"""The type of `ctx` in a `Function`'s forward and backward, with the attributes that torch's own type leaves out."""

from __future__ import annotations

from torch import Tensor
from torch.autograd.function import FunctionCtx


class Ctx(FunctionCtx):
    """For annotations only. A `Function` that keeps more than tensors declares those attributes in a subclass."""

    saved_tensors: tuple[Tensor, ...]
    """The arguments of `save_for_backward`; None where it was given None."""
    needs_input_grad: tuple[bool, ...]
    """Whether each input of forward needs a gradient."""

    def save_for_backward(self, *tensors: Tensor | None) -> None: ...
