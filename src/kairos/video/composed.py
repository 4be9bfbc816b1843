"""A clip that is a view over frames of several clips: no pixel is copied or read until frames are taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kairos.core.types import VideoClip
from kairos.video.resize import resize


@dataclass(frozen=True)
class ComposedClip(VideoClip):
    """Frame t is frame `index_T[t]` of `parts[part_T[t]]`. `frames_TCHW` is None; `take` reads the chosen frames.

    All frames have the size of the first part's: those of other sizes are resized, bilinearly with antialiasing. A
    stored part is pickled as its file's name.
    """

    parts: tuple[VideoClip, ...] = ()
    part_T: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    """int64: which part each frame is of."""
    index_T: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    """int64: which of the part's frames it is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        frames = len(self.seconds_T)
        if not self.parts or self.frames_TCHW is not None:
            raise ValueError(f"clip {self.uid}: a composed clip has parts and no frames of its own")
        if not len(self.part_T) == len(self.index_T) == frames:
            raise ValueError(
                f"clip {self.uid}: {frames} frame times, but {len(self.part_T)} parts and {len(self.index_T)} indices"
            )
        for number, part in enumerate(self.parts):
            index = self.index_T[self.part_T == number]
            if len(index) and not 0 <= int(index.min()) <= int(index.max()) < len(part):
                raise ValueError(
                    f"clip {self.uid}: part {number} ({part.uid}) has {len(part)} frames, "
                    f"but {int(index.min())} to {int(index.max())} of them are asked for"
                )

    def take(self, index_K: Tensor) -> VideoClip:
        """A plain clip of the frames at `index_K`, in that order. Their pixels are copied, if every part has some."""
        names = self.frame_names()
        return VideoClip(
            uid=self.uid,
            frames_TCHW=self._frames(self.part_T[index_K], self.index_T[index_K]),
            seconds_T=self.seconds_T[index_K],
            duration=self.duration,
            features={name: tensor[index_K] for name, tensor in self.features.items()},
            frame_contents=None if names is None else tuple(names[index] for index in index_K.tolist()),
        )

    def per_frame(self, of_clip: Callable[[VideoClip], Tensor]) -> Tensor:
        """`of_clip` computes a tensor [frames, ...] for each part; those of this clip's frames, in order: [T, ...]."""
        tensors = [of_clip(part) for part in self.parts]
        out = tensors[0].new_empty((len(self), *tensors[0].shape[1:]))
        for number, tensor in enumerate(tensors):
            out[self.part_T == number] = tensor[self.index_T[self.part_T == number]]
        return out

    def frame_names(self) -> list[str] | None:
        """See `VideoClip`: the names of the parts' frames, with the size behind those that are resized."""
        by_part: list[list[str]] = []
        height, width = _size(self.parts[0])
        for part in self.parts:
            if (names := part.frame_names()) is None:
                return None
            resized = _size(part) != (height, width)
            by_part.append([f"{name}@{height}x{width}" for name in names] if resized else names)
        return [by_part[part][index] for part, index in zip(self.part_T.tolist(), self.index_T.tolist(), strict=True)]

    def _frames(self, part_K: Tensor, index_K: Tensor) -> Tensor | None:
        frames = [part.frames_TCHW for part in self.parts]
        first = frames[0]
        if first is None or any(tensor is None for tensor in frames):
            return None
        out = torch.empty((len(part_K), *first.shape[1:]), dtype=torch.uint8)
        for number, tensor in enumerate(frames):
            if tensor is not None and bool((here := part_K == number).any()):
                out[here] = resize(tensor[index_K[here]], *first.shape[-2:], mode="bilinear")
        return out


def _size(clip: VideoClip) -> tuple[int, int]:
    """(height, width) of a clip's frames; (0, 0) of one without."""
    frames = clip.frames_TCHW
    return (0, 0) if frames is None else (int(frames.shape[-2]), int(frames.shape[-1]))
