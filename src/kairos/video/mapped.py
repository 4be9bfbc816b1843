"""Memory-mapped clips: frames read from the page cache when touched, that cross processes as a file name."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kairos.core.types import VideoClip
from kairos.video.errors import VideoError

FORMAT = "kairos clip 1"


class BrokenFile(ValueError):
    """A file of the store that is not a whole, unchanged clip."""


@dataclass(frozen=True)
class Mapped:
    """A file of the store, mapped: `frames_TCHW` shares its memory; `about` is what was written beside the frames."""

    path: str
    frames_TCHW: Tensor
    seconds_T: Tensor
    about: Mapping[str, object]


@dataclass(frozen=True)
class StoredClip(VideoClip):
    """A clip whose frames are mapped from `path`. Pickling writes the name and which part of the map, never pixels.

    `filled` tells that this load had to decode it (`on_miss=fill`).
    """

    path: str = ""
    filled: bool = False
    mapped: Tensor | None = field(default=None, repr=False, compare=False)

    def __reduce__(self) -> tuple:
        frames = self.frames_TCHW
        facts = (self.uid, _packed(self.seconds_T), self.duration, dict(self.features))
        if frames is None or self.mapped is None or not _shares(frames, self.mapped):
            return VideoClip, (self.uid, frames, self.seconds_T, self.duration, dict(self.features))
        view = (tuple(frames.shape), frames.stride(), frames.storage_offset() - self.mapped.storage_offset())
        return _again, (self.path, view, self.filled, *facts)


def open_clip(path: str) -> Mapped:
    """Map the file at `path`; maps of the last 1,024 files are kept. FileNotFoundError, BrokenFile."""
    status = os.stat(path)  # noqa: PTH116 - this is the hot path
    return _open(path, status.st_ino, status.st_size, status.st_mtime_ns)


def checksum(about: str, seconds_T: Tensor, frames_TCHW: Tensor) -> int:
    """CRC-32 of all that a file holds; both tensors contiguous."""
    crc = zlib.crc32(f"{about}{tuple(frames_TCHW.shape)}".encode())
    for tensor in (seconds_T, frames_TCHW):
        crc = zlib.crc32(memoryview(tensor.numpy()).cast("B"), crc)
    return crc


def release() -> None:
    """Forget the maps that are kept; clips in use keep theirs."""
    _open.cache_clear()


@lru_cache(maxsize=1024)
def _open(path: str, inode: int, size: int, modified_ns: int) -> Mapped:
    del inode
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise BrokenFile(f"it is no {FORMAT!r} file")
            about = json.loads(metadata["about"])
            frames, seconds = file.get_tensor("frames"), file.get_tensor("seconds").clone()
            sealed, expected = int(metadata["sealed_ns"]), int(metadata["crc32"])
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise BrokenFile(f"{type(error).__name__}: {error} ({size} bytes)") from error
    if frames.dtype != torch.uint8 or frames.dim() != 4 or len(frames) != len(seconds):
        raise BrokenFile(f"frames {tuple(frames.shape)} {frames.dtype} do not fit {len(seconds)} frame times")
    # Not the time that the writer gave it: copied, or tampered with. Worth reading it all, once.
    if modified_ns != sealed and checksum(metadata["about"], seconds, frames) != expected:
        raise BrokenFile("its checksum is wrong")
    return Mapped(path, frames, seconds, about)


def _shares(frames: Tensor, mapped: Tensor) -> bool:
    return frames.untyped_storage().data_ptr() == mapped.untyped_storage().data_ptr()


def _packed(seconds_T: Tensor) -> tuple[str, bytes]:
    array = seconds_T.numpy()
    return array.dtype.str, array.tobytes()


def _again(
    path: str,
    view: tuple[tuple[int, ...], tuple[int, ...], int],
    filled: bool,
    uid: str,
    seconds: tuple[str, bytes],
    duration: float,
    features: Mapping[str, Tensor],
) -> StoredClip:
    """Unpickle: map the file again in this process."""
    try:
        mapped = open_clip(path).frames_TCHW
    except (FileNotFoundError, BrokenFile) as error:
        raise VideoError(
            f"{Path(path).name}: the stored clip went away while in use ({error}); cache it again"
        ) from error
    shape, stride, offset = view
    frames = mapped.as_strided(shape, stride, mapped.storage_offset() + offset)
    times = torch.from_numpy(np.frombuffer(seconds[1], dtype=seconds[0]).copy())
    return StoredClip(uid, frames, times, duration, features, path, filled, mapped)
