"""Checks a video file's headers before any decoder opens it.

Catches what decoders report obscurely or late: empty and truncated files, files without a video stream, and frame
sizes that would take gigabytes to decode. Parses MP4 and MOV itself (ISO/IEC 14496-12), other formats with FFmpeg.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from io import FileIO
from typing import NamedTuple

from kairos.core.regular_files import open_regular
from kairos.video.decoding.bounds import Bounds
from kairos.video.errors import VideoError

_ISO_FIRST = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"}
_CONTAINERS = {b"trak", b"mdia", b"minf", b"stbl"}
_MOOV_LIMIT = 512 << 20


class Claim(NamedTuple):
    """What the header of a video stream says; 0 where it says nothing."""

    width: int
    """Pixels."""
    height: int
    """Pixels."""
    seconds: float


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
        claims = _iso_claims(path, stream, size) if first[4:8] in _ISO_FIRST else _ffmpeg_claims(path)
    if not claims:
        raise VideoError(f"{path}: holds no video stream (audio only?); leave this row out")
    for claim in claims:
        if claim.width and claim.height:
            bounds.check_size(path, claim.width, claim.height)
        if whole:
            bounds.check_seconds(path, claim.seconds)
    return max(claim.seconds for claim in claims)


def _iso_claims(path: str, stream: FileIO, size: int) -> list[Claim]:
    """The claim of each video track of an MP4 or MOV file."""
    moov, position = b"", 0
    while position + 8 <= size:
        stream.seek(position)
        length, kind = struct.unpack(">I4s", stream.read(8))
        header = 8
        if length == 1:
            length, header = struct.unpack(">Q", stream.read(8).rjust(8, b"\0"))[0], 16
        length = size - position if length == 0 else length
        if kind in (b"moov", b"mdat") and position + length > size:
            raise VideoError(
                f"{path}: truncated: it ends at byte {size}, inside its {kind.decode()} box that should reach byte "
                f"{position + length}; copy or download it again"
            )
        if length < header:
            break
        if kind == b"moov":
            if length > _MOOV_LIMIT:
                raise VideoError(f"{path}: an index of {length} bytes is not plausible; re-encode it")
            moov = stream.read(length - header)
        position += length
    if not moov:
        raise VideoError(f"{path}: truncated: it has no index (moov box); copy or download it again")
    return [found for kind, body in _boxes(moov) if kind == b"trak" and (found := _track_claim(body))]


def _track_claim(trak: bytes) -> Claim | None:
    """Size from the sample entry and length from the media header; None if this is not a video track."""
    boxes: dict[bytes, bytes] = {}
    for kind, body in _descendants(trak):
        boxes.setdefault(kind, body)  # QuickTime has a second hdlr, further in
    if boxes.get(b"hdlr", b"")[8:12] != b"vide":
        return None
    width, height = struct.unpack(">HH", boxes.get(b"stsd", b"")[40:44].rjust(4, b"\0"))
    media = boxes.get(b"mdhd", b"")
    layout, at = (">IQ", 20) if media[:1] == b"\1" else (">II", 12)
    scale, length = struct.unpack(
        layout, media[at : at + struct.calcsize(layout)].rjust(struct.calcsize(layout), b"\0")
    )
    known = scale > 0 and length not in (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
    return Claim(width, height, length / scale if known else 0.0)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        if length < 8:
            return
        yield kind, data[position + 8 : position + length]
        position += length


def _descendants(data: bytes, depth: int = 0) -> Iterator[tuple[bytes, bytes]]:
    for kind, body in _boxes(data):
        if kind in _CONTAINERS and depth < 4:
            yield from _descendants(body, depth + 1)
        elif kind in (b"stsd", b"hdlr", b"mdhd"):
            yield kind, body


def _ffmpeg_claims(path: str) -> list[Claim]:
    import av
    import av.error

    try:
        with av.open(path) as container:
            seconds = (container.duration or 0) / av.time_base
            return [Claim(s.codec_context.width, s.codec_context.height, seconds) for s in container.streams.video]
    except av.error.FFmpegError as error:
        raise VideoError(
            f"{path}: not a video that FFmpeg can read ({error.strerror}); copy it again or re-encode it"
        ) from error
