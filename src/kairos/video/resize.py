"""Antialiased resizing of uint8 frames in bounded memory; bicubic is bit-equal to torchvision in qwen-vl-utils."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

VERSION = "bicubic-antialias-1"
"""Part of a stored clip's key: to be changed with every change of a pixel."""

_CHUNK_BYTES = 64 << 20


def resize(frames_TCHW: Tensor, height: int, width: int, mode: Literal["bicubic", "bilinear"] = "bicubic") -> Tensor:
    """uint8 [T, C, height, width]; the same tensor where the size is right already."""
    if tuple(frames_TCHW.shape[-2:]) == (height, width):
        return frames_TCHW
    count, channels, tall, wide = frames_TCHW.shape
    step = max(1, _CHUNK_BYTES // (4 * channels * max(tall * wide, height * width)))
    out = torch.empty((count, channels, height, width), dtype=torch.uint8)
    for first in range(0, count, step):
        out[first : first + step] = (
            F.interpolate(
                frames_TCHW[first : first + step].contiguous().float(),
                size=(height, width),
                mode=mode,
                antialias=True,
                align_corners=False,
            )
            .clamp_(0, 255)
            .round_()
        )
    return out
