"""Hashes a video file or a folder of frames whole: regular files only, within limits, and so that it can be stopped."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kairos.core.regular_files import open_regular
from kairos.video.decoding.readers.image_folder import image_files
from kairos.video.errors import VideoError

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Reading:
    """Limits on reading one source to hash it. The defaults are beyond any video, and end what would never end."""

    bytes: int = 256 << 30
    """Most bytes of a file, and of all images of a folder together."""
    seconds: float = 900.0
    """Longest time."""

    def __post_init__(self) -> None:
        for name in ("bytes", "seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"store.reading.{name} must be positive, got {getattr(self, name)}")


def content_hash(path: Path, reading: Reading, stopped: Callable[[], bool] = lambda: False) -> str:
    """32 hexadecimal digits: of a file's bytes, or of the names and bytes of a folder's images.

    VideoError beyond the limits of `reading`, once `stopped()` is true, and for a file that grows while it is read.
    OSError as `open_regular`.
    """
    folder = path.is_dir()
    files = image_files(path) if folder else [path]
    size = sum(file.stat().st_size for file in files)
    if size > reading.bytes:
        raise VideoError(
            f"{path}: {size} bytes, more than the {reading.bytes} that are read to hash a source; cut it into parts, "
            "or raise the clip store's reading.bytes"
        )
    ends, left = time.monotonic() + reading.seconds, size
    whole = hashlib.blake2b(digest_size=16)
    for file in files:
        digest = hashlib.blake2b(digest_size=16)
        for chunk in _chunks(file):
            left -= len(chunk)
            if left < 0:
                raise VideoError(f"{file}: it grew while it was read; wait until it is written whole")
            if stopped():
                raise VideoError(f"{file}: reading it was interrupted")
            if time.monotonic() > ends:
                raise VideoError(
                    f"{file}: reading {path} took more than {reading.seconds:g} s; copy it to a faster disk, or raise "
                    "the clip store's reading.seconds"
                )
            digest.update(chunk)
        if not folder:
            return digest.hexdigest()
        whole.update(os.fsencode(file.name) + b"\0" + digest.digest())
    return whole.hexdigest()


def _chunks(file: Path) -> Iterator[memoryview]:
    """The bytes of a regular file; each chunk is valid until the next."""
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    with open_regular(file) as stream:
        while count := stream.readinto(buffer):
            yield buffer[:count]
