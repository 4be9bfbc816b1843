"""Reads one video with torchcodec."""

from __future__ import annotations

import numpy as np

from kairos.video.decoding.decoder import Probe, installed_version
from kairos.video.errors import DecoderError, VideoError

try:
    from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportMissingImports]
except (ImportError, RuntimeError, OSError) as _error:
    raise DecoderError(
        f"torchcodec cannot be loaded ({str(_error).splitlines()[0]}); install FFmpeg's shared libraries and a "
        "torchcodec that fits this torch, or choose decoder=decord"
    ) from _error


class TorchcodecReader:
    """Reads frames in torchcodec's exact mode. PyAV reads the presentation times, which torchcodec does not list.

    Times count from the first picture, as decord's do.
    """

    def __init__(self, path: str, threads: int) -> None:
        self._path = path
        try:
            self._video = VideoDecoder(path, seek_mode="exact", dimension_order="NHWC", num_ffmpeg_threads=threads)
            meta = self._video.metadata
            stream = self._video.stream_index
        except (RuntimeError, ValueError) as error:
            raise self._failure(error) from error
        count = meta.num_frames or 0
        if count < 1 or meta.width is None or meta.height is None:
            raise VideoError(f"{path}: holds no frames; re-encode it")
        stamps_N = _packet_seconds(path, stream)
        if len(stamps_N) != count:
            raise VideoError(
                f"{path}: {count} frames but {len(stamps_N)} presentation times; re-encode it, or try decord"
            )
        self.seconds_N = stamps_N - stamps_N[0]
        duration = float(meta.end_stream_seconds or 0.0) - float(stamps_N[0])
        fps = float(meta.average_fps or (count / duration if duration > 0 else 1.0))
        version = f"torchcodec {installed_version('torchcodec')}"
        self.probe = Probe(count, fps, meta.width, meta.height, max(duration, float(self.seconds_N[-1])), version)

    def read(self, index_K: list[int], out_KHWC: np.ndarray) -> None:
        try:
            out_KHWC[:] = self._video.get_frames_at(index_K).data.numpy()
        except (RuntimeError, IndexError, ValueError) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> VideoError:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return VideoError(f"{self._path}: torchcodec cannot decode it ({reason[:300]}); copy it again or re-encode it")


def _packet_seconds(path: str, stream: int) -> np.ndarray:
    import av

    with av.open(path) as container:
        video = container.streams[stream]
        base = float(video.time_base or 0)
        return np.sort([p.pts * base for p in container.demux(video) if p.pts is not None])
