"""Reads one video with decord."""

from __future__ import annotations

import decord
import numpy as np

from kairos.video.decoding.decoder import Probe
from kairos.video.errors import VideoError

decord.logging.set_level(decord.logging.QUIET)


class DecordReader:
    """Reads frames with decord. Opening decodes the first frame, because only it gives the size, and keeps it."""

    def __init__(self, path: str, threads: int) -> None:
        self._path = path
        try:
            self._video = decord.VideoReader(path, num_threads=threads)
            count = len(self._video)
            if count < 1:
                raise VideoError(f"{path}: holds no frames; re-encode it")
            times_N2 = np.asarray(self._video.get_frame_timestamp(np.arange(count)), dtype=np.float64)
            self._first = self._video[0].asnumpy()
            fps = float(self._video.get_avg_fps())
        except (decord.DECORDError, RuntimeError, IndexError) as error:
            raise self._failure(error) from error
        self.seconds_N = times_N2[:, 0]
        duration = max(float(times_N2[-1, 1]), float(times_N2[-1, 0]))
        if not 0 < fps < float("inf"):
            fps = count / duration if duration > 0 else 1.0
        height, width, _ = self._first.shape
        self.probe = Probe(count, fps, width, height, duration, f"decord {decord.__version__}")

    def read(self, index_K: list[int], out_KHWC: np.ndarray) -> None:
        start = 0
        if index_K[0] == 0:
            out_KHWC[0], start = self._first, 1
        if start == len(index_K):
            return
        try:
            out_KHWC[start:] = self._video.get_batch(index_K[start:]).asnumpy()
        except (decord.DECORDError, RuntimeError, IndexError, ValueError) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> VideoError:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return VideoError(f"{self._path}: decord cannot decode it ({reason[:300]}); copy it again or re-encode it")
