"""Cuts frames into patches, the input of a vision tower: checks their sizes, normalises and reorders pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from kairos.core.carry import carried
from kairos.core.types import Prompt, VideoClip
from kairos.policy.network.layouts import frames_in, layout_of


class Grid(NamedTuple):
    """A video's size in patches."""

    time: int
    """Temporal patches."""
    height: int
    """Rows of patches."""
    width: int
    """Columns of patches."""


@dataclass(frozen=True)
class Cut:
    """How a family cuts frames into patches."""

    patch: int = 16
    """Side of a patch, in pixels."""
    merge: int = 2
    """`merge` x `merge` patches make one token."""
    temporal: int = 2
    """Frames of a patch."""
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Of red, green and blue, with colours from 0 to 1."""
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Of red, green and blue, with colours from 0 to 1."""
    single: bool = field(default=False, repr=False)
    """Every frame is a temporal patch of its own, repeated `temporal` times, so that it keeps its own time."""

    @property
    def spans(self) -> int:
        """Distinct frames of the clip in one temporal patch."""
        return 1 if self.single else self.temporal

    def grid(self, clip: VideoClip) -> Grid:
        """The grid of the clip's patches; the last frame is repeated to fill the last temporal patch.

        ValueError when the clip has no frames, or a side is no multiple of a token's.
        """
        if clip.frames_TCHW is None or not len(clip):
            raise ValueError(f"clip {clip.uid} has no frames; a language policy needs a decoded clip")
        height, width = clip.frames_TCHW.shape[-2:]
        factor = self.patch * self.merge
        if height % factor or width % factor:
            raise ValueError(
                f"clip {clip.uid} is {height}x{width}; both must be multiples of {factor}: see frames.factor"
            )
        return Grid(-(-len(clip) // self.spans), height // self.patch, width // self.patch)

    def frames(self, clip: VideoClip) -> Tensor | None:
        """Indices of the clip's frames that the patches show, in order; None where these are all frames, once each."""
        if self.single:
            return torch.arange(len(clip)).repeat_interleave(self.temporal)
        odd = -len(clip) % self.temporal
        return torch.arange(len(clip) + odd).clamp(max=len(clip) - 1) if odd else None

    def tokens(self, grid: Grid) -> tuple[int, int]:
        """(rows, columns) of tokens in one temporal patch."""
        return grid.height // self.merge, grid.width // self.merge

    def patches(self, frames_TCHW: Tensor) -> Tensor:
        """uint8 [T, 3, H, W], T a multiple of `temporal` -> float32 [patches, 3 * temporal * patch^2], normalised.

        Ordered by time, then by merged token, then by patch within the token.
        """
        frames, channels, height, width = frames_TCHW.shape
        mean, std = (
            (torch.tensor(value) * 255.0).to(frames_TCHW.device, non_blocking=True)[:, None, None]
            for value in (self.mean, self.std)
        )
        x = (frames_TCHW.float() - mean) / std
        p, m, t = self.patch, self.merge, self.temporal
        x = x.view(frames // t, t, channels, height // p // m, m, p, width // p // m, m, p)
        return x.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(-1, channels * t * p * p)

    def of(self, prompts: Sequence[Prompt], device: torch.device) -> tuple[Tensor, list[Grid]]:
        """Patches of all prompts' clips on `device`, and their grids. Every prompt has a layout.

        Consecutive clips of one size share a grid, as one long video: a tower sees each temporal patch by itself.
        """
        patches, grids = [], []
        for (height, width), run in groupby(prompts, lambda prompt: tuple(frames_in(prompt).shape[-2:])):
            frames = torch.cat([frames_of(prompt, device) for prompt in run])
            patches.append(self.patches(frames))
            grids.append(Grid(len(frames) // self.temporal, height // self.patch, width // self.patch))
        return torch.cat(patches), grids


def frames_of(prompt: Prompt, device: torch.device | str) -> Tensor:
    """The frames that the prompt's layout takes, uint8 [T, 3, H, W] on `device`; they are picked on the device."""
    frames, shown = frames_in(prompt).to(device, non_blocking=True), layout_of(prompt).frames
    return frames if shown is None else frames.index_select(0, carried(shown, device))


def patch_coordinates(grid: Grid, merge: int, device: torch.device) -> Tensor:
    """(row, column) of every patch in one temporal patch, int64 [height * width, 2]; a token's patches are adjacent."""
    axes = torch.arange(grid.height, device=device), torch.arange(grid.width, device=device)
    where = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    where = where.view(grid.height // merge, merge, grid.width // merge, merge, 2).transpose(1, 2)
    return where.reshape(-1, 2)


def rotary_angles(
    frequencies: Tensor, coordinates_per_grid: Sequence[Tensor], grids: Sequence[Grid]
) -> tuple[Tensor, Tensor]:
    """Cosines and sines [patches, head width] of the rotary embedding of the patches' rows and columns."""
    where = torch.cat(
        [coordinate.repeat(grid.time, 1) for coordinate, grid in zip(coordinates_per_grid, grids, strict=True)]
    )
    angles = (where[:, :, None].float() * frequencies.float()).flatten(1).repeat(1, 2)
    return angles.cos(), angles.sin()
