"""Checks a video file's headers before any decoder opens it.

Catches what decoders report obscurely or late: empty and truncated files, files without a video stream, and frame
sizes that would take gigabytes to decode. Parses MP4 and MOV itself (ISO/IEC 14496-12), other formats with FFmpeg.
"""

from __future__ import annotations

import os
import struct
from io import FileIO
from typing import NamedTuple

from kairos.core.regular_files import open_regular
from kairos.video.decoding import iso_boxes
from kairos.video.decoding.bounds import Bounds
from kairos.video.errors import VideoError

_WITHOUT_DURATION = frozenset({"mpegts", "mpeg", "mpegvideo", "h264", "hevc"})


class Claim(NamedTuple):
    """What the header of a video stream says; 0 where it says nothing."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    seconds: float
    """How long the stream lasts, estimated where the container does not state it."""
    stated: float
    """How long the stream or the file lasts, whichever is longer; only where the container states it."""


def check_header(path: str, bounds: Bounds, whole: bool = True) -> float:
    """The seconds that the file says it lasts, 0 if it does not say.

    VideoError when the file is missing, empty, cut off, without video, or claims more than `bounds` allow.

    Its length is checked only if the `whole` file is the clip. Some headers give no size: the first decoded frame is
    checked again.
    """
    try:
        stream = open_regular(path)
    except FileNotFoundError as error:
        raise VideoError(f"{path}: there is no such file; check the annotation's path and the video folder") from error
    except OSError as error:
        raise VideoError(f"{path}: cannot be read ({error.strerror}); check its name and permissions") from error
    with stream:
        size = os.fstat(stream.fileno()).st_size
        if size == 0:
            raise VideoError(f"{path}: the file is empty (0 bytes); copy or download it again")
        first = stream.read(8)
        claims = _iso_claims(path, stream, size) if first[4:8] in iso_boxes.FIRST else _ffmpeg_claims(path)
    if not claims:
        raise VideoError(f"{path}: holds no video stream (audio only?); leave this row out")
    for claim in claims:
        if claim.width and claim.height:
            bounds.check_size(path, claim.width, claim.height)
        if whole:
            bounds.check_seconds(path, claim.seconds)
    return max(claim.stated for claim in claims)


def _iso_claims(path: str, stream: FileIO, size: int) -> list[Claim]:
    """The claim of each video track of an MP4 or MOV file."""
    moov = b""
    for kind, begin, end in iso_boxes.top_boxes(stream, size):
        if kind in (b"moov", b"mdat") and end > size:
            raise VideoError(
                f"{path}: truncated: it ends at byte {size}, inside its {kind.decode()} box that should reach byte "
                f"{end}; copy or download it again"
            )
        if kind == b"moov":
            if end - begin > iso_boxes.LARGEST_INDEX:
                raise VideoError(f"{path}: an index of {end - begin} bytes is not plausible; re-encode it")
            stream.seek(begin)
            moov = stream.read(max(0, end - begin))
    if not moov:
        raise VideoError(f"{path}: truncated: it has no index (moov box); copy or download it again")
    whole = max((iso_boxes.seconds(body) for kind, body in iso_boxes.boxes(moov) if kind == b"mvhd"), default=0.0)
    tracks = (body for kind, body in iso_boxes.boxes(moov) if kind == b"trak")
    return [claim for body in tracks if (claim := _track_claim(body, whole))]


def _track_claim(trak: bytes, whole: float) -> Claim | None:
    """Size from the sample entry and length from the media header; None if this is not a video track."""
    found: dict[bytes, bytes] = {}
    for kind, body in iso_boxes.descendants(trak):
        found.setdefault(kind, body)  # QuickTime has a second hdlr, further in
    if found.get(b"hdlr", b"")[8:12] != b"vide":
        return None
    width, height = struct.unpack(">HH", found.get(b"stsd", b"")[40:44].rjust(4, b"\0"))
    seconds = iso_boxes.seconds(found.get(b"mdhd", b""))
    return Claim(width, height, seconds, max(seconds, whole) if seconds and whole else 0.0)


def _ffmpeg_claims(path: str) -> list[Claim]:
    import av
    import av.error

    try:
        with av.open(path) as container:
            seconds = (container.duration or 0) / av.time_base
            stated = 0.0 if container.format.name in _WITHOUT_DURATION else seconds
            sizes = [(s.codec_context.width, s.codec_context.height) for s in container.streams.video]
            return [Claim(width, height, seconds, stated) for width, height in sizes]
    except av.error.FFmpegError as error:
        raise VideoError(
            f"{path}: not a video that FFmpeg can read ({error.strerror}); copy it again or re-encode it"
        ) from error
