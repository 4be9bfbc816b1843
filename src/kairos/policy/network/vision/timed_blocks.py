"""The layout of Qwen3-VL and Qwen3.5: one video block per temporal patch, each behind its timestamp as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from kairos.core.types import Layout, VideoClip
from kairos.policy.network.layouts import Markers
from kairos.policy.network.vision.frame_times import evenly_spread, patch_seconds
from kairos.policy.network.vision.patches import Cut


def timed_blocks(
    cut: Cut,
    clip: VideoClip,
    before: str,
    after: str,
    encode: Callable[[str], Sequence[int]],
    markers: Markers,
    outer_markers: bool,
) -> Layout:
    """Lay out the text `before`, the clip's blocks, and the text `after`.

    A block is `<1.3 seconds>`, a start, its video tokens, an end. The time is the mean of its first and last frame's
    `seconds_T`. `outer_markers` puts one more start and end around all blocks.
    """
    grid, seconds = cut.grid(clip), patch_seconds(cut, clip)
    times = ((seconds[:, 0] + seconds[:, -1]) / 2).tolist()
    rows, columns = cut.tokens(grid)
    block = [*markers.start, *[markers.pad] * (rows * columns), *markers.end]
    words = [f"<{time:.1f} seconds>" for time in times]
    ids = [*encode(before), *markers.start, *encode(words[0])] if outer_markers else [*encode(before + words[0])]
    ids += block
    for word in words[1:]:
        ids += encode(word)
        ids += block
    ids += markers.end if outer_markers else ()
    ids += encode(after)
    ids_L = np.asarray(ids, dtype=np.int64)
    if (ids_L == markers.pad).sum() != len(times) * rows * columns:
        raise ValueError(f"the text of a prompt about clip {clip.uid} contains a video token")
    return Layout(
        ids_L=torch.from_numpy(ids_L),
        positions_3L=torch.from_numpy(positions(ids_L == markers.pad, rows, columns)),
        grid_thw_N3=torch.tensor([grid]),
        seconds_per_grid=_spacing(times) if evenly_spread(clip) and not cut.single else None,
        frames=cut.frames(clip),
    )


def _spacing(times: Sequence[float]) -> float:
    return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0


def positions(video_L: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Rotary positions (time, height, width), int64 [3, L], of text with video blocks of `rows` x `columns` tokens.

    A text token advances all axes by 1. A block starts at the next position, counts up its rows and columns, and
    advances all axes by max(rows, columns).
    """
    text = np.cumsum(~video_L)
    seen = np.cumsum(video_L)
    inside = (seen - 1) % (rows * columns)
    block = np.where(video_L, (seen - 1) // (rows * columns), seen // (rows * columns))
    start = text - ~video_L + block * max(rows, columns)
    height = np.where(video_L, inside // columns, 0)
    width = np.where(video_L, inside % columns, 0)
    return np.stack([start, start + height, start + width]).astype(np.int64)
