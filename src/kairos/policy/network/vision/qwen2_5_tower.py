"""The vision tower of Qwen2.5-VL: most blocks attend within windows, a few within temporal patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from kairos.core.carry import carried
from kairos.policy.network.attention.within_segments import Stretch
from kairos.policy.network.towers import VideoFeatures
from kairos.policy.network.vision.patches import Grid, patch_coordinates, rotary_angles
from kairos.policy.network.vision.windows import windows


class Qwen25Tower(Protocol):
    """The part of transformers' tower that is used; its blocks are called as modules."""

    patch_embed: nn.Module
    rotary_pos_emb: nn.Module
    spatial_merge_size: int
    patch_size: int
    window_size: int
    fullatt_block_indexes: Sequence[int]
    blocks: nn.ModuleList
    merger: nn.Module


def run_tower(tower: Qwen25Tower, patches: Tensor, grids: Sequence[Grid]) -> VideoFeatures:
    """Features of all tokens. Inside the tower a frame's tokens are ordered by window, windows of one size together."""
    device, merge = patches.device, tower.spatial_merge_size
    unit, side = merge**2, tower.window_size // merge // tower.patch_size
    orders, where, whole, parted, start = [], [], [], [], 0
    for grid in grids:
        order, sizes = windows(grid.height // merge, grid.width // merge, side)
        frames = start + len(order) * torch.arange(grid.time)
        orders.append((frames[:, None] + order).flatten())
        start += grid.time * len(order)
        coordinate = patch_coordinates(grid, merge, device).unflatten(0, (-1, unit))
        where.append(coordinate[carried(order, device)].flatten(0, 1))
        whole.append(Stretch(grid.time, ((1, unit * len(order)),)))
        parted.append(Stretch(grid.time, tuple((count, unit * length) for count, length in sizes)))
    order = torch.cat(orders)
    back = carried(torch.argsort(order), device)

    project = cast("nn.Conv3d", tower.patch_embed.proj)
    hidden = linear(patches.to(project.weight.dtype), project.weight.flatten(1), project.bias)
    hidden = hidden.unflatten(0, (-1, unit)).index_select(0, carried(order, device)).flatten(0, 1)
    rotary = rotary_angles(cast("Tensor", tower.rotary_pos_emb.inv_freq), where, grids)
    for number, block in enumerate(tower.blocks):
        segments = whole if number in tower.fullatt_block_indexes else parted
        hidden = block(hidden, cu_seqlens=None, position_embeddings=rotary, segments=segments)
    return VideoFeatures(tower.merger(hidden).index_select(0, back))
