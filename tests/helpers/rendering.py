"""Renders small real videos with PyAV, damages files, and defines decoders that fail, for the tests of video/."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def render(
    path: Path,
    frames: int = 64,
    fps: int = 8,
    size: tuple[int, int] = (64, 64),
    times: Sequence[int] | None = None,
    codec: str = "libx264",
    still: bool = False,
    **movie: str,
) -> Path:
    """A video of `size` (width, height) with a bar that moves; `times` are presentation times in ms, else constant.

    `still`: each picture is noise, the same noise but for single levels.
    """
    width, height = size
    with av.open(str(path), "w", options=movie) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "18", "preset": "ultrafast"}
        if times is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(frames):
            image = np.full((height, width, 3), (40 + 3 * number) % 200, dtype=np.uint8)
            column = number * 8 % width
            image[:, column : column + 8] = (250, 40, 40)
            if still:
                image = 100 + np.random.default_rng(0).integers(0, 60, image.shape, np.uint8) + np.uint8(number % 2)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def render_audio(path: Path) -> Path:
    """One second of silence and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut(path: Path, share: float) -> Path:
    """The file without its end, under another name."""
    data = path.read_bytes()
    copy = path.with_name(f"cut-{path.name}")
    copy.write_bytes(data[: int(len(data) * share)])
    return copy


def claim_size(path: Path, width: int, height: int) -> Path:
    """A copy whose sample description claims frames of another size."""
    data = bytearray(path.read_bytes())
    for kind, start in _boxes(data, 0, len(data)):
        if kind == b"stsd":
            data[start + 48 : start + 52] = struct.pack(">HH", width, height)
    return _written(path, data, f"{width}x{height}")


def claim_seconds(path: Path, seconds: int) -> Path:
    """A copy whose sample table and headers claim that it lasts `seconds`."""
    data = bytearray(path.read_bytes())
    for kind, start in _boxes(data, 0, len(data)):
        if kind == b"mdhd":
            scale = struct.unpack(">I", data[start + 20 : start + 24])[0]
            data[start + 24 : start + 28] = struct.pack(">I", seconds * scale)
        if kind == b"stts":
            count = struct.unpack(">I", data[start + 16 : start + 20])[0]
            data[start + 20 : start + 24] = struct.pack(">I", seconds * scale // count)
    return _written(path, data, f"{seconds}s")


def _written(path: Path, data: bytes, name: str) -> Path:
    copy = path.with_name(f"{name}-{path.name}")
    copy.write_bytes(data)
    return copy


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int]]:
    while start + 8 <= end:
        length, kind = struct.unpack(">I4s", data[start : start + 8])
        yield kind, start
        if kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
            yield from _boxes(data, start + 8, start + length)
        start += length


@dataclass(frozen=True)
class Sleeps:
    """A decoder that hangs."""

    seconds: float = 60.0

    def describe(self) -> dict[str, str]:
        return {"decoder": "sleeps", "decoder_version": "1"}

    def open(self, path: str, fps: float | None) -> object:
        time.sleep(self.seconds)
        raise AssertionError("slept through")


@dataclass(frozen=True)
class Dies:
    """A decoder that takes its process with it when the name of the file says so, and decodes with decord otherwise."""

    word: str = "poison"

    def describe(self) -> dict[str, str]:
        return {"decoder": "dies", "decoder_version": "1"}

    def open(self, path: str, fps: float | None) -> object:
        import os
        import signal

        from kairos.video.decoding.decoders import Decord

        if self.word in path:
            os.kill(os.getpid(), signal.SIGSEGV)
        return Decord().open(path, fps)


@dataclass(frozen=True)
class Raises:
    """A decoder with a bug."""

    def describe(self) -> dict[str, str]:
        return {"decoder": "raises", "decoder_version": "1"}

    def open(self, path: str, fps: float | None) -> object:
        raise ZeroDivisionError("a bug of the decoder")
