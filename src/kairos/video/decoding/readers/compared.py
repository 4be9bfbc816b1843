"""Reads frames and compares a few of them with a decode of the same file from the start."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from kairos.video.decoding.decoder import Reader
from kairos.video.decoding.in_order.video_file import VideoFile
from kairos.video.errors import RE_ENCODE, VideoError

_SIDE = 32
"""Pictures are compared as grey thumbnails of so many pixels squared."""
_LEVELS = 1.0
"""Mean difference, of 255, by which another picture must match better, besides by half."""
_AHEAD = 2.0
"""Seconds behind a frame's time in which its picture is looked for too."""


class ComparedReader:
    """A reader that compares the first frame read behind each of `frames` moments of the file's first `seconds`.

    VideoError where a picture is clearly another one than that of its time. A still scene hides a difference.
    """

    def __init__(self, path: str, reader: Reader, frames: int, seconds: float) -> None:
        self._path, self._reader = path, reader
        self.probe, self.seconds_N = reader.probe, reader.seconds_N
        self._until = min(seconds, float(self.seconds_N[-1]))
        self._moments = [self._until * (k + 1) / (frames + 1) for k in range(frames)]
        self._film: _Film | None = None

    def read(self, index_K: list[int], out_KHWC: np.ndarray) -> None:
        self._reader.read(index_K, out_KHWC)
        for row, index in enumerate(index_K):
            second = float(self.seconds_N[index] - self.seconds_N[0])
            if self._moments and self._moments[0] <= second <= self._until:
                self._moments = [moment for moment in self._moments if moment > second]
                self._compare(second, out_KHWC[row])

    def _compare(self, second: float, image_HWC: np.ndarray) -> None:
        self._film = self._film or _Film(self._path)
        shown = self._film.when(second, image_HWC)
        if shown is not None:
            raise VideoError(
                f"{self._path}: {self.probe.version} shows at {second:.2f} s the picture of {shown:.2f} s: it is "
                f"{abs(shown - second):.2f} s off in this file ({self._film.container}), compared with a decode from "
                f"the start; {RE_ENCODE}, or use another decoder"
            )


class _Film:
    """Thumbnails of a file's pictures, decoded from the start as far as they are needed."""

    def __init__(self, path: str) -> None:
        file = VideoFile(path, threads=1)
        self.container = file.container
        self._file, self._frames, self._reformatter = file, file.frames(), VideoReformatter()
        self._seconds: list[float] = []
        self._thumbnails: list[np.ndarray] = []

    def when(self, second: float, image_HWC: np.ndarray) -> float | None:
        """The time of the picture that `image_HWC` is, if that is clearly another one than the picture of `second`;
        both in seconds since the first picture."""
        while not self._seconds or self._seconds[-1] - self._seconds[0] <= second + _AHEAD:
            frame = next(self._frames, None)
            if frame is None:
                break
            self._seconds.append(float(self._file.seconds([frame.pts or 0])[0]))
            self._thumbnails.append(np.rot90(self._thumbnail(frame), frame.rotation // 90 % 4))
        if not self._seconds:
            return None
        seconds_N = np.asarray(self._seconds) - self._seconds[0]
        thumbnail = self._thumbnail(VideoFrame.from_ndarray(np.ascontiguousarray(image_HWC), format="rgb24"))
        apart_N = np.abs(np.stack(self._thumbnails).astype(np.int16) - thumbnail).mean((1, 2))
        expected, best = int(np.abs(seconds_N - second).argmin()), int(apart_N.argmin())
        clear = apart_N[expected] - apart_N[best] > _LEVELS and apart_N[best] < apart_N[expected] / 2
        return float(seconds_N[best]) if clear else None

    def _thumbnail(self, frame: VideoFrame) -> np.ndarray:
        small = self._reformatter.reformat(frame, _SIDE, _SIDE, "gray", interpolation=Interpolation.AREA, threads=1)
        return small.to_ndarray()
