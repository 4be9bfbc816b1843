"""Sets of chosen frames: what a valid one is, and the pixels of its frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kairos.core.types import Prompt, VideoClip


def check_sets(prompt: Prompt, sets: Sequence[Tensor]) -> None:
    """ValueError for a set of frames that is empty, not rising, or leaves the prompt's clip."""
    for index_K in sets:
        frames = index_K.tolist()
        if not frames or frames != sorted(set(frames)) or frames[0] < 0 or frames[-1] >= len(prompt.clip):
            raise ValueError(
                f"prompt {prompt.uid}: a set of frames must be rising indices of its clip's {len(prompt.clip)} frames, "
                f"got {frames}"
            )


def shown_frames(clip: VideoClip, frames: Tensor | Sequence[int]) -> VideoClip:
    """The clip with only these frames; ValueError where it has none (only features)."""
    taken = clip.take(torch.as_tensor(frames, dtype=torch.long))
    if taken.frames_TCHW is None or not len(taken):
        raise ValueError(f"clip {clip.uid} has no frames to show an answerer: it needs a decoded clip")
    return taken


def pixels_of(clip: VideoClip, frames: Tensor | Sequence[int]) -> Tensor:
    """The pixels of these frames, uint8 [K, 3, H, W]; errors as `shown_frames`."""
    pixels = shown_frames(clip, frames).frames_TCHW
    assert pixels is not None
    return pixels
