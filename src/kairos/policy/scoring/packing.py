"""Packs prompts and their completions end to end, each prompt once: [prompt 0 | prompt 1 | ... | rows of 0 | ...].

A completion attends to its prompt and to itself, to no other completion. The last token of a row predicts nothing, so
it is not fed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kairos.core.carry import carried
from kairos.core.types import Layout
from kairos.policy.network.segments import Segments, starts


@dataclass(frozen=True)
class Packed:
    """N tokens packed end to end, and which of them predict the batch's M counting actions."""

    ids_N: Tensor
    """Token ids."""
    positions_3N: Tensor
    """Rotary positions: time, height, width."""
    predictor_M: Tensor
    """The packed token that predicts each action."""
    row_M: Tensor
    """Each action's row in the batch."""
    column_M: Tensor
    """Each action's column in the batch."""
    segments: Segments
    """Where the prompts and rows lie among the N tokens."""

    def to(self, device: torch.device) -> Packed:
        moved = {name: carried(value, device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return Packed(**moved, segments=self.segments)


def pack(layouts: Sequence[Layout], group_of_B: Tensor, actions_BA: Tensor, mask_BA: Tensor) -> Packed:
    """Pack the prompts' layouts and their rows; all tensors are on the CPU.

    Rows may come in any order of groups. A row ends at its last counting action.
    """
    group_of_B, actions_BA, mask_BA = group_of_B.cpu(), actions_BA.cpu(), mask_BA.cpu() > 0
    rows, width = mask_BA.shape
    columns_A = torch.arange(width)
    length_B = ((columns_A + 1) * mask_BA).amax(1) if width else torch.zeros(rows, dtype=torch.long)
    fed_B = (length_B - 1).clamp(min=0)
    order = torch.argsort(group_of_B, stable=True)
    segments = Segments(
        prompts=tuple(len(layout) for layout in layouts),
        rows=tuple(fed_B[order].tolist()),
        group=tuple(group_of_B[order].tolist()),
    )
    start_B = torch.empty(rows, dtype=torch.long)
    start_B[order] = torch.tensor(starts(segments.rows, segments.base)[:-1], dtype=torch.long)

    row_N = torch.from_numpy(np.repeat(order.numpy(), segments.rows))  # torch's takes milliseconds, waking all threads
    column_N = segments.base + torch.arange(len(row_N)) - start_B[row_N]
    next_P = torch.stack([layout.positions_3L.max() + 1 for layout in layouts])
    after_N = next_P[group_of_B[row_N]] + column_N
    positions = [*(layout.positions_3L for layout in layouts), after_N.expand(3, -1)]

    row_M, column_M = (mask_BA & (columns_A < length_B[:, None])).nonzero(as_tuple=True)
    last_P = torch.tensor(starts(segments.prompts)[1:]) - 1
    return Packed(
        ids_N=torch.cat([*(layout.ids_L for layout in layouts), actions_BA[row_N, column_N]]),
        positions_3N=torch.cat(positions, dim=1),
        predictor_M=torch.where(column_M == 0, last_P[group_of_B[row_M]], start_B[row_M] + column_M - 1),
        row_M=row_M,
        column_M=column_M,
        segments=segments,
    )
