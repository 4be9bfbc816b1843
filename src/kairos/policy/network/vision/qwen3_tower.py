"""The vision tower of Qwen3-VL and Qwen3.5: learnt positions, resampled to the frames; every temporal patch alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from kairos.policy.network.attention.within_segments import Stretch
from kairos.policy.network.towers import Seen
from kairos.policy.network.vision.patches import Grid, rotary_angles, spots


class Qwen3Tower(Protocol):
    """What is used of transformers' tower; its blocks are called as modules."""

    patch_embed: nn.Module
    pos_embed: nn.Module
    rotary_pos_emb: nn.Module
    num_grid_per_side: int
    spatial_merge_size: int
    blocks: nn.ModuleList
    merger: nn.Module


def look(
    tower: Qwen3Tower, patches: Tensor, grids: Sequence[Grid], deepstack: Sequence[tuple[int, nn.Module]] = ()
) -> Seen:
    """Features of all tokens. `deepstack`: after which block which merger takes the features of a deeper level."""
    project, merge = cast("nn.Conv3d", tower.patch_embed.proj), tower.spatial_merge_size
    hidden = linear(patches.to(project.weight.dtype), project.weight.flatten(1), project.bias)
    where = [spots(grid, merge, patches.device) for grid in grids]
    table = torch.cat([
        _interpolated(tower.pos_embed, spot, grid, tower.num_grid_per_side).repeat(grid.time, 1)
        for spot, grid in zip(where, grids, strict=True)
    ])  # fmt: skip
    hidden = hidden + table.to(hidden.dtype)
    rotary = rotary_angles(cast("Tensor", tower.rotary_pos_emb.inv_freq), where, grids)
    segments = [Stretch(grid.time, ((1, grid.height * grid.width),)) for grid in grids]
    deeper, levels = [], dict(deepstack)
    for number, block in enumerate(tower.blocks):
        hidden = block(hidden, cu_seqlens=None, position_embeddings=rotary, segments=segments)
        if number in levels:
            deeper.append(levels[number](hidden))
    return Seen(tower.merger(hidden), tuple(deeper))


def _interpolated(embedding: nn.Module, spots: Tensor, grid: Grid, side: int) -> Tensor:
    """The square table of learnt positions, resampled bilinearly (corners aligned) to one temporal patch."""
    sides = grid.height, grid.width
    scale = torch.tensor([(side - 1) / max(length - 1, 1) for length in sides]).to(spots.device, non_blocking=True)
    source = spots * scale
    low = source.floor().long()
    high = (low + 1).clamp(max=side - 1)
    fraction = source - low
    total = torch.zeros((), device=spots.device)
    for row, row_weight in ((low[:, 0], 1 - fraction[:, 0]), (high[:, 0], fraction[:, 0])):
        for column, weight in ((low[:, 1], 1 - fraction[:, 1]), (high[:, 1], fraction[:, 1])):
            total = total + embedding(row * side + column) * (row_weight * weight)[:, None]
    return total
