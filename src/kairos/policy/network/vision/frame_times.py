"""The times of a clip's temporal patches, and whether its frames are evenly spread, as a decoded clip's are."""

from __future__ import annotations

import torch
from torch import Tensor

from kairos.core.types import VideoClip
from kairos.policy.network.vision.patches import Cut

_NEAR = 0.5  # of the frames' spacing: how far decoding may move a frame to a frame of the video


def patch_seconds(cut: Cut, clip: VideoClip) -> Tensor:
    """Presentation times of the frames in each temporal patch, fp64 [patches, frames of a patch], in seconds."""
    index = cut.frames(clip)
    return (clip.seconds_T if index is None else clip.seconds_T[index]).double().view(-1, cut.temporal)


def evenly_spread(clip: VideoClip) -> bool:
    """Whether the frames are equally spaced from the beginning of the clip to its end. Frames that `take` chose
    usually are not.

    >>> clip = VideoClip("a", None, torch.arange(6) / 2.0, 3.0)
    >>> evenly_spread(clip), evenly_spread(clip.take(torch.tensor([0, 2, 4])))
    (True, True)
    >>> evenly_spread(clip.take(torch.tensor([0, 1, 5]))), evenly_spread(clip.take(torch.tensor([0, 1, 2])))
    (False, False)
    """
    if len(clip) < 2:
        return True
    seconds_T = clip.seconds_T.double()
    step = float(seconds_T[-1] - seconds_T[0]) / (len(clip) - 1)
    off_T = seconds_T - seconds_T[0] - step * torch.arange(len(clip))
    reach = (1 + _NEAR) * step + 1e-3
    within = float(off_T.abs().max()) <= _NEAR * step + 1e-3
    return within and float(seconds_T[0]) <= reach and clip.duration - float(seconds_T[-1]) <= reach
