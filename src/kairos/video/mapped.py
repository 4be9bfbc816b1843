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
    """Map the file at `path`; maps of the last 1,024 files are kept. FileNotFoundError, BrokenFile.

    The safetensors header is read here, because the library takes several times as long to map a small clip.
    """
    status = os.stat(path)  # noqa: PTH116 - this is the hot path
    return _open(path, status.st_ino, status.st_size, status.st_mtime_ns)


def checksum(about: str, seconds_T: Tensor, frames_TCHW: Tensor) -> int:
    """CRC-32 of all that a file holds; both tensors contiguous."""
    crc = zlib.crc32(f"{about}{tuple(frames_TCHW.shape)}".encode())
    for tensor in (seconds_T, frames_TCHW):
        crc = zlib.crc32(tensor.numpy().reshape(-1).view(np.uint8).data, crc)
    return crc


def release() -> None:
    """Forget the maps that are kept; clips in use keep theirs."""
    _open.cache_clear()


@lru_cache(maxsize=1024)
def _open(path: str, inode: int, size: int, modified_ns: int) -> Mapped:
    del inode
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - this is the hot path
            start = 8 + int.from_bytes(file.read(8), "little")
            if start > size:
                raise BrokenFile(f"it ends at byte {size}, inside its header")
            parts = json.loads(file.read(start - 8))
            metadata = parts.pop("__metadata__", {})
            if metadata.get("format") != FORMAT:
                raise BrokenFile(f"it is no {FORMAT!r} file")
            first, last = _place(parts["seconds"], "F64")
            seconds = torch.frombuffer(
                bytearray(os.pread(file.fileno(), last - first, start + first)), dtype=torch.float64
            )
        first, last = _place(parts["frames"], "U8")
        end = start + max(part["data_offsets"][1] for part in parts.values())
        if end != size:
            raise BrokenFile(f"it ends at byte {size} instead of {end}")
        flat = torch.from_file(path, shared=False, size=size, dtype=torch.uint8)
        frames = flat[start + first : start + last].view(parts["frames"]["shape"])
        text, sealed, expected = metadata["about"], int(metadata["sealed_ns"]), int(metadata["crc32"])
        about = json.loads(text)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise error if isinstance(error, BrokenFile) else BrokenFile(f"unreadable ({error!r}, {size} bytes)") from error
    if frames.dim() != 4 or len(frames) != len(seconds):
        raise BrokenFile(f"frames {tuple(frames.shape)} do not fit {len(seconds)} frame times")
    # Not the time that the writer gave it: copied, or tampered with. Worth reading it all, once.
    if modified_ns != sealed and checksum(text, seconds, frames) != expected:
        raise BrokenFile("its checksum is wrong")
    return Mapped(path, frames, seconds, about)


def _place(part: dict, dtype: str) -> tuple[int, int]:
    """First and last byte of a tensor behind the header."""
    if part["dtype"] != dtype:
        raise BrokenFile(f"a tensor of {part['dtype']} where {dtype} is expected")
    first, last = part["data_offsets"]
    return first, last


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
