"""Frame samplers: which K frames of a clip to look at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.core.types import VideoClip


@dataclass(frozen=True)
class Uniform:
    """K frames evenly spread over the clip, the first and the last included; all of them where it has no more."""

    def __call__(self, clip: VideoClip, question: str, count: int) -> Tensor:
        """int64 [K], rising. ValueError when `count` < 1."""
        if count < 1:
            raise ValueError(f"a frame sampler must choose at least one frame, got {count}")
        if count >= len(clip):
            return torch.arange(len(clip))
        if count == 1:
            return torch.tensor([(len(clip) - 1) // 2])
        return torch.linspace(0, len(clip) - 1, count, dtype=torch.float64).round().long()
