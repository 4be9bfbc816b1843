"""Opens a video whose pictures cannot be jumped to safely."""

from __future__ import annotations

from kairos.video.decoding.decoder import Reader
from kairos.video.decoding.in_order.by_count import ByCount
from kairos.video.decoding.in_order.by_time import ByTime
from kairos.video.decoding.in_order.video_file import VideoFile

_STAMPED_CONTAINERS = ("mov,", "matroska,", "flv")
"""Containers that state the time of each picture."""
_STAMPED_CODECS = frozenset({"h264", "hevc", "vp9", "libvpx-vp9", "av1", "libdav1d", "mpeg4"})
"""Codecs whose packets are a picture each. VP8, for one, has packets that are never shown."""


def open_in_order(path: str, threads: int) -> Reader:
    """The reader that fits the file: `ByTime` where each picture carries its own time, else `ByCount`. VideoError."""
    file = VideoFile(path, threads)
    if file.container.startswith(_STAMPED_CONTAINERS) and file.codec in _STAMPED_CODECS:
        packets = [(p.pts, p.is_keyframe) for p in file.packets() if not p.is_discard]
        file.rewind()
        keys = sorted(pts for pts, is_key in packets if is_key and pts is not None)
        stamps = sorted(pts for pts, _ in packets if pts is not None and keys and pts >= keys[0])
        if stamps and all(pts is not None for pts, _ in packets):
            return ByTime(path, file, stamps, keys)
    return ByCount(path, file)
