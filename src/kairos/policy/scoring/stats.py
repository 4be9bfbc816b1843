"""Puts values per predicted action back into the batch's rows, for both scorers."""

from __future__ import annotations

import torch
from torch import Tensor

from kairos.core.types import ActionStats


def on_rows(
    logprobs_M: Tensor, entropy_M: Tensor | None, row_M: Tensor, column_M: Tensor, shape: torch.Size
) -> ActionStats:
    """Scatter values [M] to their rows and columns in `shape` [B, A]; 0 where no action counts."""

    def spread(values_M: Tensor) -> Tensor:
        return values_M.new_zeros(shape).index_put((row_M, column_M), values_M)

    return ActionStats(spread(logprobs_M), None if entropy_M is None else spread(entropy_M))
