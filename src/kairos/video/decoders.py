"""Decoder parts: how a video file becomes frames. They run in a worker process, so nothing here imports torch.

A user's own decoder is a frozen dataclass in an importable module with the two methods of `Decoder`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from kairos.video.errors import DecoderError, VideoError


@dataclass(frozen=True)
class Probe:
    """What a video is: number of frames, average frames a second, pixels, seconds, and who says so."""

    frames: int
    fps: float
    width: int
    height: int
    duration: float
    version: str


class Reader(Protocol):
    """One open video. `seconds_N` (float64) are the presentation times of all its frames, in order."""

    @property
    def probe(self) -> Probe: ...

    @property
    def seconds_N(self) -> np.ndarray: ...

    def read(self, index_K: list[int], out_KHWC: np.ndarray) -> None:
        """Write the RGB frames at `index_K` (rising) into `out_KHWC`, uint8. VideoError where they do not decode."""
        ...


class Decoder(Protocol):
    """A picklable value that opens videos."""

    def describe(self) -> Mapping[str, str]:
        """The part of a stored clip's key: name, version and every option that changes a pixel.

        DecoderError where it is not installed."""
        ...

    def open(self, path: str, fps: float | None) -> Reader:
        """VideoError where the file cannot be decoded. `fps` is the rate of a folder of frames, unused for a file."""
        ...


@dataclass(frozen=True)
class Decord:
    """Decode with decord. `threads` per video: 1 is the fastest for short clips, 0 leaves it to FFmpeg."""

    threads: int = 1

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise ValueError(f"decoder.threads must be >= 0, got {self.threads}")

    def describe(self) -> Mapping[str, str]:
        return {"decoder": "decord", "decoder_version": installed("decord")}

    def open(self, path: str, fps: float | None) -> Reader:
        from kairos.video.decord_reader import DecordReader

        return DecordReader(path, self.threads)


@dataclass(frozen=True)
class Torchcodec:
    """Decode with torchcodec (needs FFmpeg's shared libraries). `threads` as in `Decord`."""

    threads: int = 1

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise ValueError(f"decoder.threads must be >= 0, got {self.threads}")

    def describe(self) -> Mapping[str, str]:
        return {"decoder": "torchcodec", "decoder_version": installed("torchcodec")}

    def open(self, path: str, fps: float | None) -> Reader:
        from kairos.video.torchcodec_reader import TorchcodecReader

        return TorchcodecReader(path, self.threads)


@dataclass(frozen=True)
class Images:
    """Read a folder of images in natural order, one every 1 / fps seconds. Chosen for every source that is a folder."""

    def describe(self) -> Mapping[str, str]:
        return {"decoder": "pillow", "decoder_version": installed("pillow")}

    def open(self, path: str, fps: float | None) -> Reader:
        from kairos.video.image_folder import ImageFolder

        if fps is None or not 0 < fps < float("inf"):
            raise VideoError(f"{path}: a folder of frames needs its frame rate, got fps={fps}; add fps to the row")
        return ImageFolder(path, fps)


@lru_cache
def installed(package: str) -> str:
    """The installed version of `package`; DecoderError with the remedy where there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise DecoderError(
            f"{package} is not installed: pip install {package}, or choose another decoder (decoder=decord|torchcodec)"
        ) from error
