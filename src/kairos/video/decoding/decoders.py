"""The decoders to choose from. They run in a worker process that starts quickly, so nothing here imports torch.

A user's own decoder is a frozen dataclass in an importable module with the two methods of `Decoder`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kairos.video.decoding.decoder import Reader, installed_version
from kairos.video.errors import VideoError


@dataclass(frozen=True)
class Decord:
    """Decode with decord. `threads` per video: 1 is the fastest for short clips, 0 leaves it to FFmpeg."""

    threads: int = 1

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise ValueError(f"decoder.threads must be >= 0, got {self.threads}")

    def describe(self) -> Mapping[str, str]:
        return {"decoder": "decord", "decoder_version": installed_version("decord")}

    def open(self, path: str, fps: float | None) -> Reader:
        from kairos.video.decoding.readers.decord_reader import DecordReader

        return DecordReader(path, self.threads)


@dataclass(frozen=True)
class Torchcodec:
    """Decode with torchcodec (needs FFmpeg's shared libraries). `threads` as in `Decord`."""

    threads: int = 1

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise ValueError(f"decoder.threads must be >= 0, got {self.threads}")

    def describe(self) -> Mapping[str, str]:
        return {"decoder": "torchcodec", "decoder_version": installed_version("torchcodec")}

    def open(self, path: str, fps: float | None) -> Reader:
        from kairos.video.decoding.readers.torchcodec_reader import TorchcodecReader

        return TorchcodecReader(path, self.threads)


@dataclass(frozen=True)
class InOrder:
    """Decode with PyAV, which jumps nowhere without looking where it landed. Used, whatever the decoder, for every file
    into which decoders jump wrongly (`in_order.access`)."""

    threads: int = 1

    def describe(self) -> Mapping[str, str]:
        return {"decoder": "pyav", "decoder_version": installed_version("av")}

    def open(self, path: str, fps: float | None) -> Reader:
        from kairos.video.decoding.in_order.opening import open_in_order

        return open_in_order(path, self.threads)


@dataclass(frozen=True)
class Images:
    """Read a folder of images in natural order, one every 1 / fps seconds. Used for every source that is a folder."""

    def describe(self) -> Mapping[str, str]:
        return {"decoder": "pillow", "decoder_version": installed_version("pillow")}

    def open(self, path: str, fps: float | None) -> Reader:
        from kairos.video.decoding.readers.image_folder import ImageFolder

        if fps is None or not 0 < fps < float("inf"):
            raise VideoError(f"{path}: a folder of frames needs its frame rate, got fps={fps}; add fps to the row")
        return ImageFolder(path, fps)
