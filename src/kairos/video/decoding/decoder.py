"""The protocol of decoders, which describe a video and read its frames. Nothing here imports torch."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from kairos.video.errors import DecoderError


@dataclass(frozen=True)
class Probe:
    """What a decoder finds out about a video on opening it."""

    frames: int
    fps: float
    """Average frames per second."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    duration: float
    """Seconds."""
    version: str
    """Name and version of the decoder."""


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


@lru_cache
def installed_version(package: str) -> str:
    """The installed version of `package`; DecoderError with the remedy where there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise DecoderError(
            f"{package} is not installed: pip install {package}, or choose another decoder (decoder=decord|torchcodec)"
        ) from error
