"""A video file opened with PyAV: its pictures in the order in which they are shown, from the start or a keyframe on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import av
import av.error
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from kairos.video.decoding.decoder import Probe, installed_version
from kairos.video.errors import RE_ENCODE, VideoError


class VideoFile:
    """One open file. Times are in seconds since the file's start, which is that of its earliest stream, as in players.

    VideoError where FFmpeg cannot read it.
    """

    def __init__(self, path: str, threads: int) -> None:
        self._path, self._threads = path, threads
        self._reformatter = VideoReformatter()
        self._open()
        self.version = f"pyav {installed_version('av')}"

    def _open(self) -> None:
        with self.errors():
            self._container = av.open(self._path)
            stream = self._container.streams.best("video")
            if stream is None or stream.type != "video":
                raise VideoError(f"{self._path}: holds no video stream (audio only?); leave this row out")
            self._stream = self._container.streams[stream.index]
            self._stream.codec_context.thread_count = self._threads
        self.container = self._container.format.name
        self.codec = self._stream.codec_context.name
        self.rate = float(self._stream.average_rate or 0)
        self._base = float(self._stream.time_base or 0)
        self.step = 1 / (self.rate * self._base) if self.rate > 0 and self._base > 0 else 0.0
        self._start = (self._container.start_time or 0) / av.time_base

    def rewind(self) -> None:
        """Begin again at the start of the file, which is opened anew: seeking there is not exact in all containers."""
        self._container.close()
        self._open()

    def seek(self, stamp: int) -> None:
        """Go to a keyframe at or before `stamp`, in units of the stream; where one lands, the frames say."""
        with self.errors():
            self._container.seek(stamp, stream=self._stream, backward=True)

    def packets(self) -> Iterator[Packet]:
        """What the file holds of the stream from here on, in file order, not decoded."""
        with self.errors():
            yield from (packet for packet in self._container.demux(self._stream) if packet.size)

    def decoded(self) -> Iterator[tuple[int | None, list[VideoFrame]]]:
        """The same, decoded: each packet's decoding time, None for the end, and the pictures that it completes."""
        with self.errors():
            for packet in self._container.demux(self._stream):
                yield packet.dts, [frame for frame in packet.decode() if isinstance(frame, VideoFrame)]

    def frames(self) -> Iterator[VideoFrame]:
        """The pictures from here on, in the order in which they are shown."""
        for _, frames in self.decoded():
            yield from frames

    def seconds(self, stamps_N: Sequence[float] | np.ndarray) -> np.ndarray:
        """Seconds since the file's start [N], float64, of times in units of the stream."""
        return np.asarray(stamps_N, dtype=np.float64) * self._base - self._start

    def rgb(self, frame: VideoFrame) -> np.ndarray:
        """The picture as it is shown, rotated where the file says so: [H, W, 3] uint8."""
        with self.errors():
            image = self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        return np.rot90(image, frame.rotation // 90 % 4) if frame.rotation % 360 else image

    def probe(self, seconds_N: np.ndarray, first_HWC: np.ndarray) -> Probe:
        """What there is to know of pictures at `seconds_N`. The last one is shown as long as the others on average.

        The rate is the stream's if the pictures keep to it within 1 %, else their own.
        """
        count, last = len(seconds_N), float(seconds_N[-1])
        span = last - float(seconds_N[0])
        own = (count - 1) / span if span > 0 else self.rate or 1.0
        fps = self.rate if abs(self.rate - own) <= 0.01 * own else own
        height, width, _ = first_HWC.shape
        return Probe(count, fps, width, height, last + 1 / fps, self.version)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """FFmpeg's errors as VideoError."""
        try:
            yield
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, VideoError):
                raise
            raise VideoError(
                f"{self._path}: FFmpeg cannot decode it ({str(error)[:300]}); copy it again or re-encode it"
            ) from error


def write_picture(path: str, image_HWC: np.ndarray, out_HWC: np.ndarray) -> None:
    """Copy a picture to its place. VideoError where its size is not that of the first one."""
    if image_HWC.shape != out_HWC.shape:
        height, width, _ = image_HWC.shape
        raise VideoError(
            f"{path}: a picture of {width}x{height} pixels where the first one has "
            f"{out_HWC.shape[1]}x{out_HWC.shape[0]}; {RE_ENCODE}"
        )
    out_HWC[:] = image_HWC
