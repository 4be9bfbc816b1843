"""Root-mean-square norms as one kernel each, with the preceding addition, and with output in the matrices' dtype.

transformers' norms take six kernels forward, and under autocast return fp32, which every matrix product casts again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn

from kairos.policy.network.kernels.dispatch import matmul_dtype
from kairos.policy.network.kernels.norms import normed, normed_sum


class FusedNorm(nn.Module):
    """The forward pass of a norm with `weight` and `variance_epsilon`: fp32 inside, bf16 out under autocast."""

    weight: nn.Parameter

    def gain(self) -> Tensor:
        return self.weight.float()

    def epsilon(self) -> float:
        return cast("float", self.variance_epsilon)

    def forward(self, hidden_states: Tensor) -> Tensor:
        wide = torch.promote_types(hidden_states.dtype, self.weight.dtype)
        return normed(hidden_states, self.gain(), self.epsilon(), matmul_dtype(hidden_states, wide))

    def add_and_norm(self, residual: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """residual + x, and its norm. Does not call hooks on the module."""
        wide = torch.promote_types(torch.promote_types(residual.dtype, x.dtype), self.weight.dtype)
        return normed_sum(residual, x, self.gain(), self.epsilon(), matmul_dtype(residual, wide))


class FusedOffsetNorm(FusedNorm):
    """A norm whose gain is 1 + `weight`, and whose epsilon is named `eps`."""

    def gain(self) -> Tensor:
        return 1.0 + self.weight.float()

    def epsilon(self) -> float:
        return cast("float", self.eps)


def fuse_norms(model: nn.Module, kind: type[nn.Module], fused: type[FusedNorm] = FusedNorm) -> None:
    """Give every norm of class `kind` in the model the forward pass of `fused`; parameters and their names stay."""
    for module in model.modules():
        if type(module) is kind:
            module.__class__ = mixin_class(fused, kind)


@lru_cache
def mixin_class(ours: type[nn.Module], theirs: type[nn.Module]) -> type[nn.Module]:
    """A subclass of both classes; a method is looked up in `ours` first."""
    return type(f"{ours.__name__}{theirs.__name__}", (ours, theirs), {})
