"""Root-mean-square norms in one kernel each, with what is added before them, whose output is what a matrix wants.

transformers writes them out: six kernels forward, and under autocast an fp32 output that every matrix casts anew.
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn

from kairos.policy.network.kernels.dispatch import matmul_dtype
from kairos.policy.network.kernels.norms import normed, normed_sum


class Fused(nn.Module):
    """The forward pass of a norm with `weight` and `variance_epsilon`: fp32 inside; bf16 out under autocast."""

    weight: nn.Parameter

    def gain(self) -> Tensor:
        return self.weight.float()

    def epsilon(self) -> float:
        return cast("float", self.variance_epsilon)

    def forward(self, hidden_states: Tensor) -> Tensor:
        wide = torch.promote_types(hidden_states.dtype, self.weight.dtype)
        return normed(hidden_states, self.gain(), self.epsilon(), matmul_dtype(hidden_states, wide))

    def of_sum(self, residual: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """residual + x, and what `forward` gives of it. Hooks on the norm are not called."""
        wide = torch.promote_types(torch.promote_types(residual.dtype, x.dtype), self.weight.dtype)
        return normed_sum(residual, x, self.gain(), self.epsilon(), matmul_dtype(residual, wide))


class FusedAroundOne(Fused):
    """The same for a norm that adds 1 to its weight, and calls its epsilon `eps`."""

    def gain(self) -> Tensor:
        return 1.0 + self.weight.float()

    def epsilon(self) -> float:
        return cast("float", self.eps)


def fuse_norms(model: nn.Module, kind: type[nn.Module], fused: type[Fused] = Fused) -> None:
    """Every norm of this kind in the model computes as `fused`; its parameters and their names stay."""
    for module in model.modules():
        if type(module) is kind:
            module.__class__ = mixin_class(fused, kind)


@lru_cache
def mixin_class(ours: type[nn.Module], theirs: type[nn.Module]) -> type[nn.Module]:
    """A class whose methods are looked up in ours first."""
    return type(f"{ours.__name__}{theirs.__name__}", (ours, theirs), {})
