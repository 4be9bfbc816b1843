"""Whether the index of an MP4, MOV or 3GP file lets a decoder jump to any picture (ISO/IEC 14496-12).

Decoders count pictures from a keyframe on. That is exact where no picture that follows a keyframe in the file is shown
before it (open groups of pictures), no picture is hidden by an edit list, and there is one piece of media at normal
speed. Times are counted from the first picture, which must begin with the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BufferedIOBase, RawIOBase

import numpy as np

from kairos.video.decoding import iso_boxes

LATE = 0.1
"""Seconds by which the first picture may begin after the first sound without being late."""
_MOST_SAMPLES = 4_000_000


@dataclass(frozen=True)
class _Track:
    """What is needed of a sound or video track."""

    start: float
    """Seconds of the movie at which it begins."""
    jumps: bool
    """Whether every picture can be jumped to; true for sound."""
    video: bool


def jumps(file: RawIOBase | BufferedIOBase, size: int) -> bool | None:
    """Whether every picture of the file of `size` bytes can be jumped to. None where it has no index to tell."""
    moov = _moov(file, size)
    if moov is None:
        return None
    boxes = list(iso_boxes.boxes(moov))
    scale = next((iso_boxes.duration(body)[0] for kind, body in boxes if kind == b"mvhd"), 0)
    if scale < 1 or any(kind == b"mvex" for kind, _ in boxes):  # in fragments: the tables are spread over the file
        return False
    tracks = [track for kind, body in boxes if kind == b"trak" and (track := _track(body, scale))]
    start = min((track.start for track in tracks), default=0.0)
    return all(track.jumps and track.start - start <= LATE for track in tracks if track.video)


def _moov(file: RawIOBase | BufferedIOBase, size: int) -> bytes | None:
    """The index of the file; None where there is none, or it is cut off."""
    for kind, begin, end in iso_boxes.top_boxes(file, size):
        if kind == b"moov":
            if end > size or not 0 < end - begin <= iso_boxes.LARGEST_INDEX:
                return None
            file.seek(begin)
            return file.read(end - begin)
    return None


def _track(trak: bytes, movie_scale: int) -> _Track | None:
    """None for a track of neither sound nor video, and for one without samples."""
    found: dict[bytes, bytes] = {}
    for kind, body in iso_boxes.descendants(trak):
        found.setdefault(kind, body)  # QuickTime has a second hdlr, further in
    handler, scale = found.get(b"hdlr", b"")[8:12], iso_boxes.duration(found.get(b"mdhd", b""))[0]
    if handler not in (b"vide", b"soun") or scale < 1 or not _table(found.get(b"stts"), 2)[:, 0].any():
        return None
    edits = _edits(found.get(b"elst", b""))
    empty = 0.0
    while edits and edits[0][1] < 0:
        empty += edits.pop(0)[0] / movie_scale
    if handler == b"soun":
        return _Track(empty, jumps=True, video=False)
    pts_N = _presentation(found)
    if pts_N is None or len(edits) > 1 or (edits and edits[0][2] != 0x10000):
        return _Track(empty, jumps=False, video=True)
    begin, first = edits[0][1] if edits else 0, int(pts_N.min())
    closed = begin <= first and _closed(pts_N, found.get(b"stss"))
    return _Track(empty + max(0, first - begin) / scale, closed, video=True)


def _presentation(found: dict[bytes, bytes]) -> np.ndarray | None:
    """Presentation times [N] of all samples, in file order, in units of the track; None if the tables disagree."""
    durations = _table(found.get(b"stts"), 2)
    total = int(durations[:, 0].sum())
    if total > _MOST_SAMPLES:
        return None
    decoded_N = np.concatenate([[0], np.cumsum(np.repeat(durations[:, 1], durations[:, 0]))[:-1]])
    if b"ctts" not in found:
        return decoded_N
    offsets = _table(found[b"ctts"], 2)
    if int(offsets[:, 0].sum()) != total:
        return None
    signed = offsets[:, 1].astype(np.uint32).view(np.int32).astype(np.int64)  # negative also where version 0 forbids it
    return decoded_N + np.repeat(signed, offsets[:, 0])


def _closed(pts_N: np.ndarray, stss: bytes | None) -> bool:
    """Whether each keyframe comes after all pictures before it in the file and before all behind it."""
    if stss is None:  # all are keyframes
        return bool((np.diff(pts_N) > 0).all())
    keys_K = _table(stss, 1)[:, 0] - 1
    if len(keys_K) == 0 or keys_K[0] != 0 or keys_K.max() >= len(pts_N) or (np.diff(keys_K) <= 0).any():
        return False
    latest_N, earliest_N = np.maximum.accumulate(pts_N), np.minimum.accumulate(pts_N[::-1])[::-1]
    return bool((earliest_N[keys_K] == pts_N[keys_K]).all() and (latest_N[keys_K[1:] - 1] < pts_N[keys_K[1:]]).all())


def _edits(elst: bytes) -> list[tuple[int, int, int]]:
    """(duration in units of the movie, first time in units of the track or -1, speed as 16.16) of each edit."""
    layout = struct.Struct(">QqI" if elst[:1] == b"\1" else ">IiI")
    count = struct.unpack(">I", elst[4:8].rjust(4, b"\0"))[0]
    rows = elst[8 : 8 + layout.size * count]
    return list(layout.iter_unpack(rows[: len(rows) // layout.size * layout.size]))


def _table(box: bytes | None, columns: int) -> np.ndarray:
    """The rows of a table of 32-bit numbers: [rows, columns], int64; none where the box is missing or cut off."""
    body = (box or b"")[8:]
    rows = min(struct.unpack(">I", (box or b"")[4:8].rjust(4, b"\0"))[0], len(body) // (4 * columns))
    return np.frombuffer(body, dtype=">u4", count=rows * columns).astype(np.int64).reshape(rows, columns)
