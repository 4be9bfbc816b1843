"""The type of what torch hands to a `Function`'s forward and backward: torch's own leaves out what torch sets on it."""

from __future__ import annotations

from torch import Tensor
from torch.autograd.function import FunctionCtx


class Ctx(FunctionCtx):
    """For annotations alone; a `Function` that keeps more than tensors names it in a subclass."""

    saved_tensors: tuple[Tensor, ...]
    """What `save_for_backward` was given; None where it was given None."""
    needs_input_grad: tuple[bool, ...]
    """For each input of forward."""

    def save_for_backward(self, *tensors: Tensor | None) -> None: ...
