"""The pixel budget: how many frames of a clip are kept, and how large they are.

Computes the same numbers as qwen-vl-utils 0.0.14 (`smart_nframes`, `smart_resize`, `fetch_video`), on which Qwen's
video models were trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

TEMPORAL_PATCH = 2
"""Frames that one vision token spans in time: a clip's number of frames is a multiple of it."""

_MAX_ASPECT = 200


@dataclass(frozen=True)
class PixelBudget:
    """Frames per second, and bounds on frames and pixels."""

    factor: int = 28
    """Side of one vision token in pixels: 28 (patch 14) or 32 (patch 16), both of 2x2 merged patches."""
    fps: float = 2.0
    """Kept frames per second."""
    min_frames: int = 4
    max_frames: int = 768
    min_pixels: int | None = None
    """Fewest pixels of a frame; None: 128 tokens."""
    max_pixels: int | None = None
    """Most pixels of a frame; None: 768 tokens."""
    total_pixels: int | None = None
    """Most pixels of a clip, counted once per temporal patch, unless `min_pixels` needs more; None: 115,200 tokens."""
    rounding: Literal["floor", "round"] = "floor"
    """How the number of frames is made even; "round" as in older releases."""
    shown: int | None = None
    """Frames that a model sees at once, where a sampler chooses them among those kept: frames are as large as
    `total_pixels` allows for so many. None: all."""

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ValueError(f"frames.factor must be positive (28 for patch 14, 32 for patch 16), got {self.factor}")
        if not 0 < self.fps < math.inf:
            raise ValueError(f"frames.fps must be positive, got {self.fps}")
        if not TEMPORAL_PATCH <= self.min_frames <= self.max_frames:
            raise ValueError(
                f"frames.min_frames and max_frames must satisfy {TEMPORAL_PATCH} <= min <= max, "
                f"got {self.min_frames} and {self.max_frames}"
            )
        if not 0 < self.smallest <= self.largest:
            raise ValueError(f"frames.min_pixels must lie in 1..max_pixels ({self.largest}), got {self.smallest}")
        if self.total < 1:
            raise ValueError(f"frames.total_pixels must be positive, got {self.total_pixels}")
        if self.rounding not in ("floor", "round"):
            raise ValueError(f"frames.rounding must be floor or round, got {self.rounding!r}")
        if self.shown is not None and self.shown < 1:
            raise ValueError(f"shown_frames must be >= 1, or null for all, got {self.shown}")

    @property
    def smallest(self) -> int:
        """Fewest pixels of a frame."""
        return 128 * self.factor**2 if self.min_pixels is None else self.min_pixels

    @property
    def largest(self) -> int:
        """Most pixels of a frame."""
        return 768 * self.factor**2 if self.max_pixels is None else self.max_pixels

    @property
    def total(self) -> float:
        """Most pixels of a clip, counted once per temporal patch."""
        return 128_000 * self.factor**2 * 0.9 if self.total_pixels is None else self.total_pixels

    def frames(self, total: int, source_fps: float) -> int:
        """How many of `total` frames are kept: an even number. ValueError if there are fewer than two.

        >>> PixelBudget().frames(335, 335 / 35.1415)
        70
        """
        most = min(self.max_frames, total) // 2 * 2
        wanted = min(max(total / source_fps * self.fps, math.ceil(self.min_frames / 2) * 2), most)
        count = math.floor(wanted / 2) * 2 if self.rounding == "floor" else round(wanted / 2) * 2
        count = min(count, most)
        if count < TEMPORAL_PATCH:
            raise ValueError(f"{total} frame(s), but a clip needs at least {TEMPORAL_PATCH}")
        return count

    def indices(self, total: int, source_fps: float) -> list[int]:
        """Which of `total` frames are kept: evenly spread, the first and the last included."""
        count = self.frames(total, source_fps)
        return torch.linspace(0, total - 1, count).round().long().tolist()

    def size(self, height: int, width: int, frames: int) -> tuple[int, int]:
        """(height, width) of a kept frame, multiples of `factor`. ValueError for an aspect ratio above 200.

        >>> PixelBudget(min_pixels=16 * 28**2, total_pixels=3584 * 28**2).size(360, 640, 70)
        (196, 364)
        """
        if max(height, width) > _MAX_ASPECT * min(height, width):
            raise ValueError(f"frames of {width}x{height} pixels: the aspect ratio must not exceed {_MAX_ASPECT}")
        seen = frames if self.shown is None else min(frames, self.shown)
        per_frame = min(768 * self.factor**2, self.total / seen * TEMPORAL_PATCH)
        cap = min(self.largest, max(per_frame, int(self.smallest * 1.05)))
        tall, wide = (max(self.factor, round(side / self.factor) * self.factor) for side in (height, width))
        if tall * wide > cap:
            shrink = math.sqrt(height * width / cap)
            tall, wide = (
                max(self.factor, math.floor(side / shrink / self.factor) * self.factor) for side in (height, width)
            )
        elif tall * wide < self.smallest:
            grow = math.sqrt(self.smallest / (height * width))
            tall, wide = (math.ceil(side * grow / self.factor) * self.factor for side in (height, width))
        return tall, wide

    def tokens(self, frames: int, height: int, width: int) -> int:
        """Vision tokens of a kept clip, after merging."""
        return frames // TEMPORAL_PATCH * (height // self.factor) * (width // self.factor)

    def describe(self) -> Mapping[str, str]:
        """Every parameter that changes a pixel. Numbers of shown frames that give the same pixels are described alike,
        and not at all where they change none."""
        unbounded = int(self.total * TEMPORAL_PATCH / min(self.largest, 768 * self.factor**2))
        seen = self.max_frames if self.shown is None else max(self.shown, unbounded)
        return {
            **({"shown": str(seen)} if seen < self.max_frames else {}),
            "factor": str(self.factor),
            "fps": repr(float(self.fps)),
            "min_frames": str(self.min_frames),
            "max_frames": str(self.max_frames),
            "min_pixels": str(self.smallest),
            "max_pixels": str(self.largest),
            "total_pixels": repr(float(self.total)),
            "rounding": self.rounding,
        }
