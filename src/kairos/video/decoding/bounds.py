"""Limits on the length and size of one video, checked before its frames are decoded."""

from __future__ import annotations

from dataclasses import dataclass

from kairos.video.errors import VideoError


@dataclass(frozen=True)
class Bounds:
    """Limits per clip."""

    seconds: float = 4 * 3600.0
    """Longest clip."""
    frames: int = 1_000_000
    """Most frames of the file."""
    pixels: int = 8192 * 8192
    """Most pixels of a frame."""
    memory: int = 4 << 30
    """Most bytes of the decoding process: stops files that are larger than their headers say."""
    confined: bool = True
    """The decoding process gives up network, writing and more (`confinement`). False for a decoder that needs some of
    it, such as one on a GPU."""

    def __post_init__(self) -> None:
        for name in ("seconds", "frames", "pixels", "memory"):
            if not getattr(self, name) > 0:
                raise ValueError(f"bounds.{name} must be positive, got {getattr(self, name)}")

    def check_size(self, path: str, width: int, height: int) -> None:
        """VideoError when a frame has more than `pixels`, or none."""
        if width < 1 or height < 1:
            raise VideoError(f"{path}: frames of {width}x{height} pixels; the file is damaged: re-encode it")
        if width * height > self.pixels:
            raise VideoError(
                f"{path}: frames of {width}x{height} pixels, more than the {self.pixels} allowed; "
                "re-encode it smaller, or raise the loader's bounds.pixels"
            )

    def check_frames(self, path: str, frames: int) -> None:
        """VideoError when the file holds more than `frames`."""
        if frames > self.frames:
            raise VideoError(
                f"{path}: {frames} frames, more than the {self.frames} allowed; "
                "cut it into parts, or raise the loader's bounds.frames"
            )

    def check_seconds(self, path: str, seconds: float) -> None:
        """VideoError when the clip lasts more than `seconds`."""
        if not seconds <= self.seconds:
            raise VideoError(
                f"{path}: lasts {seconds:g} s, more than the {self.seconds:g} allowed; "
                "name start and end of a sub-clip, or raise the loader's bounds.seconds"
            )
