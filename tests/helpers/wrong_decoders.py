"""Decoders that give wrong frames or wrong times, for tests of what is noticed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kairos.video.decoding.decoder import Probe, Reader
from kairos.video.decoding.decoders import Decord


@dataclass(frozen=True)
class Late:
    """Decord, but each frame behind the first second is the one `frames` later."""

    frames: int

    def describe(self) -> dict[str, str]:
        return {"decoder": "late", "decoder_version": "1"}

    def open(self, path: str, fps: float | None) -> Reader:
        return _Late(Decord().open(path, fps), self.frames)


@dataclass(frozen=True)
class Timed:
    """Decord, but with these times in place of the last frames' own."""

    times: tuple[float, ...]
    frames: int | None = None
    """How many frames it claims to find."""

    def describe(self) -> dict[str, str]:
        return {"decoder": "timed", "decoder_version": "1"}

    def open(self, path: str, fps: float | None) -> Reader:
        return _Timed(Decord().open(path, fps), self.times, self.frames)


class _Late:
    def __init__(self, reader: Reader, frames: int) -> None:
        self._reader, self._frames = reader, frames
        self.probe: Probe = replace(reader.probe, version="late 1")
        self.seconds_N = reader.seconds_N

    def read(self, index_K: list[int], out_KHWC: np.ndarray) -> None:
        last = self.probe.frames - 1
        for row, index in enumerate(index_K):
            shown = index if self.seconds_N[index] < 1 else max(0, min(last, index + self._frames))
            self._reader.read([shown], out_KHWC[row : row + 1])


class _Timed:
    def __init__(self, reader: Reader, times: tuple[float, ...], frames: int | None) -> None:
        self._reader = reader
        self.probe: Probe = replace(reader.probe, version="timed 1", frames=frames or reader.probe.frames)
        self.seconds_N = np.concatenate([reader.seconds_N[: len(reader.seconds_N) - len(times)], times])

    def read(self, index_K: list[int], out_KHWC: np.ndarray) -> None:
        self._reader.read(index_K, out_KHWC)
