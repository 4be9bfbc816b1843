"""Samplers that keep distance: even spacing, the best frame of each bin, and quantiles of the scores."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from kairos.core.types import Prompt
from kairos.video.samplers.scores import CosineScores, FrameScores


def all_or(frames: int, count: int) -> Tensor | None:
    """Every index where a clip has no more than `count` frames, else None. ValueError when `count` < 1."""
    if count < 1:
        raise ValueError(f"a frame sampler must choose at least one frame, got {count}")
    return torch.arange(frames) if count >= frames else None


@dataclass(frozen=True)
class Uniform:
    """K frames evenly spread over the clip, the first and the last included; the middle one for K = 1."""

    def __call__(self, prompt: Prompt, count: int) -> Tensor:
        """int64 [min(K, T)], rising."""
        frames = len(prompt.clip)
        every = all_or(frames, count)
        return even(frames, count) if every is None else every


@dataclass(frozen=True)
class BinMax:
    """The best frame of each of K bins: a frame belongs to the nearest of K evenly spread ones (a tie: the earlier)."""

    scores: FrameScores = field(default_factory=CosineScores)

    def __call__(self, prompt: Prompt, count: int) -> Tensor:
        """int64 [min(K, T)], rising: exactly one frame a bin."""
        frames = len(prompt.clip)
        if (every := all_or(frames, count)) is not None:
            return every
        centres_K = even(frames, count)
        bin_T = (torch.arange(frames)[:, None] - centres_K).abs().argmin(-1)
        scores_T = self.scores(prompt).cpu()
        return torch.stack(
            [(members := (bin_T == k).nonzero().squeeze(1))[scores_T[members].argmax()] for k in range(count)]
        )


@dataclass(frozen=True)
class InverseTransform:
    """Frames at K even quantiles of the scores, scaled to [0, 1] and raised to `power` (BOLT, CVPR 2025).

    Quantiles that fall on one frame take it once; the places left go to the best frames not taken, so that every
    sampler shows K frames.
    """

    scores: FrameScores = field(default_factory=CosineScores)
    power: float = 3.0

    def __post_init__(self) -> None:
        if self.power <= 0:
            raise ValueError(f"sampler.power must be > 0, got {self.power}")

    def __call__(self, prompt: Prompt, count: int) -> Tensor:
        """int64 [min(K, T)], rising."""
        if (every := all_or(len(prompt.clip), count)) is not None:
            return every
        scores_T = self.scores(prompt).cpu().double()
        share_T = ((scores_T - scores_T.min()) / (scores_T.max() - scores_T.min()).clamp(min=1e-12)) ** self.power
        cumulated_T = (share_T + 1e-12).cumsum(0)
        levels_K = (torch.arange(count, dtype=torch.float64) + 0.5) / count * cumulated_T[-1]
        taken = torch.searchsorted(cumulated_T, levels_K).clamp(max=len(scores_T) - 1).unique()
        left_T = scores_T.index_fill(0, taken, -torch.inf)
        return torch.cat([taken, left_T.topk(count - len(taken)).indices]).sort().values


def even(frames: int, count: int) -> Tensor:
    """int64 [count] of `frames` > `count` indices.

    >>> even(10, 4).tolist()
    [0, 3, 6, 9]
    """
    if count == 1:
        return torch.tensor([(frames - 1) // 2])
    return torch.linspace(0, frames - 1, count, dtype=torch.float64).round().long()
