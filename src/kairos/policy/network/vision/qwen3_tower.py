"""The vision tower of Qwen3-VL and Qwen3.5: attention within temporal patches, interpolated learnt positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from kairos.policy.network.attention.within_segments import Stretch
from kairos.policy.network.towers import VideoFeatures
from kairos.policy.network.vision.patches import Grid, patch_coordinates, rotary_angles


class Qwen3Tower(Protocol):
    """The part of transformers' tower that is used; its blocks are called as modules."""

    patch_embed: nn.Module
    pos_embed: nn.Module
    rotary_pos_emb: nn.Module
    num_grid_per_side: int
    spatial_merge_size: int
    blocks: nn.ModuleList
    merger: nn.Module


def run_tower(
    tower: Qwen3Tower, patches: Tensor, grids: Sequence[Grid], mergers: Sequence[tuple[int, nn.Module]] = ()
) -> VideoFeatures:
    """Features of all tokens. `mergers` pairs a block's index with the merger of its deepstack features."""
    project, merge = cast("nn.Conv3d", tower.patch_embed.proj), tower.spatial_merge_size
    hidden = linear(patches.to(project.weight.dtype), project.weight.flatten(1), project.bias)
    where = [patch_coordinates(grid, merge, patches.device) for grid in grids]
    table = torch.cat([
        _interpolated(tower.pos_embed, coordinate, grid, tower.num_grid_per_side).repeat(grid.time, 1)
        for coordinate, grid in zip(where, grids, strict=True)
    ])  # fmt: skip
    hidden = hidden + table.to(hidden.dtype)
    rotary = rotary_angles(cast("Tensor", tower.rotary_pos_emb.inv_freq), where, grids)
    segments = [Stretch(grid.time, ((1, grid.height * grid.width),)) for grid in grids]
    deepstack, merger_of = [], dict(mergers)
    for number, block in enumerate(tower.blocks):
        hidden = block(hidden, cu_seqlens=None, position_embeddings=rotary, segments=segments)
        if number in merger_of:
            deepstack.append(merger_of[number](hidden))
    return VideoFeatures(tower.merger(hidden), tuple(deepstack))


def _interpolated(embedding: nn.Module, coordinates: Tensor, grid: Grid, side: int) -> Tensor:
    """Learnt positions of one temporal patch: the square table, interpolated bilinearly with aligned corners."""
    sides = grid.height, grid.width
    scale = torch.tensor([(side - 1) / max(length - 1, 1) for length in sides]).to(
        coordinates.device, non_blocking=True
    )
    source = coordinates * scale
    low = source.floor().long()
    high = (low + 1).clamp(max=side - 1)
    fraction = source - low
    total = torch.zeros((), device=coordinates.device)
    for row, row_weight in ((low[:, 0], 1 - fraction[:, 0]), (high[:, 0], fraction[:, 0])):
        for column, weight in ((low[:, 1], 1 - fraction[:, 1]), (high[:, 1], fraction[:, 1])):
            total = total + embedding(row * side + column) * (row_weight * weight)[:, None]
    return total
