"""Reads a video by the time that each of its pictures carries, from the keyframe before it on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from av.video.frame import VideoFrame

from kairos.video.decoding.in_order.video_file import VideoFile, write_picture
from kairos.video.errors import RE_ENCODE, VideoError


class ByTime:
    """The pictures at `stamps_N` (rising), in units of the stream; `keys_K` are those of its keyframes.

    Where the container seeks does not matter: what is decoded there says its time. Should it land behind the keyframe
    asked for, the file is decoded from the start.
    """

    def __init__(self, path: str, file: VideoFile, stamps_N: list[int], keys_K: list[int]) -> None:
        self._path, self._file, self._stamps_N, self._keys_K = path, file, stamps_N, keys_K
        self._seeks = True
        self._frames: Iterator[VideoFrame] = file.frames()
        self._last, self._at = self._next()
        self.seconds_N = file.seconds(stamps_N)
        self.probe = file.probe(self.seconds_N, file.rgb(self._last))

    def read(self, index_K: list[int], out_KHWC: np.ndarray) -> None:
        for row, index in enumerate(index_K):
            self._find(self._stamps_N[index])
            write_picture(self._path, self._file.rgb(self._last), out_KHWC[row])

    def _find(self, stamp: int) -> None:
        """Decode until the last picture is the one of `stamp`."""
        key = self._keys_K[int(np.searchsorted(self._keys_K, stamp, side="right")) - 1]
        if self._at > stamp or (self._seeks and self._at < key):
            self._go_to(key)
        while self._at < stamp:
            self._last, self._at = self._next()
        if self._at > stamp:
            raise VideoError(
                f"{self._path}: its index names a picture at {self._file.seconds([stamp])[0]:.3f} s that decoding does "
                f"not show; {RE_ENCODE}"
            )

    def _go_to(self, key: int) -> None:
        """Continue at the keyframe of `key` or at an earlier one."""
        if self._seeks:
            self._file.seek(key)
            self._frames = self._file.frames()
            self._last, self._at = self._next()
            while not self._last.key_frame and self._at < key:  # pictures that belong to the keyframe before
                self._last, self._at = self._next()
            if self._last.key_frame and self._at <= key:
                return
            self._seeks = False
        self._file.rewind()
        self._frames = self._file.frames()
        self._last, self._at = self._next()

    def _next(self) -> tuple[VideoFrame, int]:
        frame = next(self._frames, None)
        if frame is None or frame.pts is None:
            raise VideoError(f"{self._path}: ends before the last picture of its index; copy it again or re-encode it")
        return frame, frame.pts
