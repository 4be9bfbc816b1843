"""How frames become patches, the input of a vision tower: checked, normalised, and cut where the frames already lie."""

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
    """Patches of a video in time, height and width."""

    time: int
    height: int
    width: int


@dataclass(frozen=True)
class Cut:
    """Sides of a patch in pixels and frames; `merge` x `merge` patches make one token.

    `mean` and `std` normalise red, green and blue, counted from 0 to 1. With `single` every frame is a temporal patch
    of its own, shown `temporal` times, so that none shares its time with another.
    """

    patch: int = 16
    merge: int = 2
    temporal: int = 2
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    single: bool = field(default=False, repr=False)

    @property
    def spans(self) -> int:
        """Frames of the clip that one temporal patch shows."""
        return 1 if self.single else self.temporal

    def grid(self, clip: VideoClip) -> Grid:
        """Of the clip's frames, the last repeated until patches are full. ValueError when sides do not fit."""
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
        """Which frames of the clip the patches show; None: all of them, in order."""
        if self.single:
            return torch.arange(len(clip)).repeat_interleave(self.temporal)
        odd = -len(clip) % self.temporal
        return torch.arange(len(clip) + odd).clamp(max=len(clip) - 1) if odd else None

    def tokens(self, grid: Grid) -> tuple[int, int]:
        """Rows and columns of tokens in one temporal patch."""
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

        Consecutive clips of one size are one long video: towers look at each patch in time alone.
        """
        patches, grids = [], []
        for (height, width), run in groupby(prompts, lambda prompt: tuple(frames_in(prompt).shape[-2:])):
            frames = torch.cat([frames_of(prompt, device) for prompt in run])
            patches.append(self.patches(frames))
            grids.append(Grid(len(frames) // self.temporal, height // self.patch, width // self.patch))
        return torch.cat(patches), grids


def frames_of(prompt: Prompt, device: torch.device | str) -> Tensor:
    """The frames that the prompt's layout shows, uint8 [T, 3, H, W] on `device`, picked there."""
    frames, shown = frames_in(prompt).to(device, non_blocking=True), layout_of(prompt).frames
    return frames if shown is None else frames.index_select(0, carried(shown, device))


def spots(grid: Grid, merge: int, device: torch.device) -> Tensor:
    """(row, column) of every patch of one temporal patch, merged tokens together: int64 [height * width, 2]."""
    axes = torch.arange(grid.height, device=device), torch.arange(grid.width, device=device)
    where = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    where = where.view(grid.height // merge, merge, grid.width // merge, merge, 2).transpose(1, 2)
    return where.reshape(-1, 2)


def rotary_angles(
    frequencies: Tensor, spots_per_grid: Sequence[Tensor], grids: Sequence[Grid]
) -> tuple[Tensor, Tensor]:
    """Cosines and sines [patches, head width] of the patches' rows and columns."""
    where = torch.cat([spot.repeat(grid.time, 1) for spot, grid in zip(spots_per_grid, grids, strict=True)])
    angles = (where[:, :, None].float() * frequencies.float()).flatten(1).repeat(1, 2)
    return angles.cos(), angles.sin()
