"""Memory-mapped clips: frames are read on access, and pickling writes the file name instead of pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kairos.core.seals import BrokenFile, Identity, identity
from kairos.core.types import VideoClip, VideoSource
from kairos.video.errors import VideoError
from kairos.video.store.sealed import read_sealed

FORMAT = "kairos clip 1"


@dataclass(frozen=True)
class Mapped:
    """A memory-mapped file of the clip store."""

    path: str
    frames_TCHW: Tensor
    """uint8, in the mapped memory."""
    seconds_T: Tensor
    """Presentation times in seconds, float64."""
    about: Mapping[str, object]
    """The facts stored with the frames."""


@dataclass(frozen=True)
class StoredClip(VideoClip):
    """A clip whose frames are memory-mapped. Pickling writes the file's path and a view of the map, never pixels."""

    path: str = ""
    """The file that the frames are mapped from."""
    filled: bool = False
    """This load had to decode the clip (`on_miss=fill`)."""
    mapped: Tensor | None = field(default=None, repr=False, compare=False)
    """All frames of the file [T, C, H, W], of which `frames_TCHW` may be a view."""

    @property
    def view(self) -> tuple[tuple[int, ...], tuple[int, ...], int] | None:
        """Shape, strides and offset of the frames in the mapped tensor; None if they are a copy."""
        frames = self.frames_TCHW
        if frames is None or self.mapped is None or not _shares(frames, self.mapped):
            return None
        return tuple(frames.shape), frames.stride(), int(frames.storage_offset() - self.mapped.storage_offset())

    def frame_names(self) -> list[str] | None:
        """See `VideoClip`; the frames of a mapped clip are named by its file and their place."""
        if self.frame_contents is not None or (name := content_name(self)) is None:
            return super().frame_names()
        return [f"{name}:{index}" for index in range(len(self))]

    def __reduce__(self) -> tuple:
        if (view := self.view) is None:
            tensors, facts = (self.frames_TCHW, self.seconds_T), (self.duration, dict(self.features))
            return VideoClip, (self.uid, *tensors, *facts, self.content, self.source, self.frame_contents)
        facts = (self.uid, _packed(self.seconds_T), self.duration, dict(self.features), self.source)
        return _map_again, (self.path, view, self.filled, *facts)


def content_name(clip: VideoClip) -> str | None:
    """A name that clips share only if their frames are equal: file name and view of a mapped clip, else its `content`.

    None if neither is known.
    """
    if not isinstance(clip, StoredClip) or (view := clip.view) is None:
        return clip.content
    part = hashlib.blake2b(str(view).encode(), digest_size=8).hexdigest()
    return f"{Path(clip.path).stem}-{part}"


def open_clip(path: str) -> Mapped:
    """Memory-map the file at `path`; the last 1,024 maps are cached. FileNotFoundError, BrokenFile."""
    return _open(path, identity(path))


def release() -> None:
    """Empty the cache of maps; clips in use keep theirs."""
    _open.cache_clear()


@lru_cache(maxsize=1024)
def _open(path: str, now: Identity) -> Mapped:
    try:
        sealed = read_sealed(path, now.size, FORMAT)
        seconds = sealed.bytes("seconds", "F64").clone().view(torch.float64)
        frames = sealed.bytes("frames", "U8").view(sealed.parts["frames"]["shape"])
        text = sealed.metadata["about"]
        about = json.loads(text)
        if frames.dim() != 4 or len(frames) != len(seconds):
            raise BrokenFile(f"frames {tuple(frames.shape)} do not fit {len(seconds)} frame times")
        sealed.check(text, [seconds, frames], path, now)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise (
            error if isinstance(error, BrokenFile) else BrokenFile(f"unreadable ({error!r}, {now.size} bytes)")
        ) from error
    return Mapped(path, frames, seconds, about)


def _shares(frames: Tensor, mapped: Tensor) -> bool:
    return frames.untyped_storage().data_ptr() == mapped.untyped_storage().data_ptr()


def _packed(seconds_T: Tensor) -> tuple[str, bytes]:
    array = seconds_T.numpy()
    return array.dtype.str, array.tobytes()


def _map_again(
    path: str,
    view: tuple[tuple[int, ...], tuple[int, ...], int],
    filled: bool,
    uid: str,
    seconds: tuple[str, bytes],
    duration: float,
    features: Mapping[str, Tensor],
    source: VideoSource | None,
) -> StoredClip:
    """Unpickle: memory-map the file in this process."""
    try:
        mapped = open_clip(path).frames_TCHW
    except (FileNotFoundError, BrokenFile) as error:
        raise VideoError(
            f"{Path(path).name}: the stored clip went away while in use ({error}); cache it again"
        ) from error
    shape, stride, offset = view
    frames = mapped.as_strided(shape, stride, mapped.storage_offset() + offset)
    times = torch.from_numpy(np.frombuffer(seconds[1], dtype=seconds[0]).copy())
    return StoredClip(uid, frames, times, duration, features, source=source, path=path, filled=filled, mapped=mapped)
