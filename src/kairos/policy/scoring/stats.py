"""What scorers share: putting numbers per predicted action back into rows."""

from __future__ import annotations

import torch
from torch import Tensor

from kairos.core.types import ActionStats


def on_rows(
    logprobs_M: Tensor, entropy_M: Tensor | None, row_M: Tensor, column_M: Tensor, shape: torch.Size
) -> ActionStats:
    """[M] values into [B, A], 0 where no action counts."""

    def spread(values_M: Tensor) -> Tensor:
        return values_M.new_zeros(shape).index_put((row_M, column_M), values_M)

    return ActionStats(spread(logprobs_M), None if entropy_M is None else spread(entropy_M))
