"""Reads a video from the start and counts its pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from av.video.frame import VideoFrame

from kairos.video.decoding.in_order.picture_times import picture_times
from kairos.video.decoding.in_order.video_file import VideoFile, write_picture
from kairos.video.errors import RE_ENCODE, VideoError


class ByCount:
    """The pictures of a file that does not state all their times: it is decoded once to learn them, once to read."""

    def __init__(self, path: str, file: VideoFile) -> None:
        self._path, self._file = path, file
        shown: list[int | None] = []
        decoded: list[int | None] = []
        first: VideoFrame | None = None
        for time, frames in file.decoded():
            decoded.append(time)
            shown += [frame.pts for frame in frames]
            first = first or next(iter(frames), None)
        if first is None:
            raise VideoError(f"{path}: holds no frames; re-encode it")
        stamps_N = picture_times(shown, decoded, file.step, slots=file.container == "avi")
        if stamps_N is None:
            raise VideoError(
                f"{path}: the times of its pictures do not rise, or are missing ({file.container}, {file.codec}); "
                + RE_ENCODE
            )
        self.seconds_N = file.seconds(stamps_N)
        self.probe = file.probe(self.seconds_N, file.rgb(first))
        self._begin()

    def read(self, index_K: list[int], out_KHWC: np.ndarray) -> None:
        for row, index in enumerate(index_K):
            if index < self._place:
                self._begin()
            frame = None
            while self._place <= index:
                frame, self._place = next(self._frames, None), self._place + 1
            if frame is None:
                raise VideoError(f"{self._path}: ends before its picture {index}, which was there; copy it again")
            write_picture(self._path, self._file.rgb(frame), out_KHWC[row])

    def _begin(self) -> None:
        self._file.rewind()
        self._frames: Iterator[VideoFrame] = self._file.frames()
        self._place = 0
