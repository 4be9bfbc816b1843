"""The boxes of MP4, MOV and 3GP files (ISO/IEC 14496-12): what such a file begins with, and how they are nested."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BufferedIOBase, RawIOBase

FIRST = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"})
"""Kinds of box that such a file may begin with."""
LARGEST_INDEX = 512 << 20
"""Bytes of an index (moov box) beyond which it is not plausible."""
_MOST_TOP_BOXES, _MOST_BOXES = 1 << 18, 1 << 12
"""Boxes that are looked at in a file, which may be cut into many fragments, and in a box."""
_PARENTS = frozenset({b"trak", b"mdia", b"minf", b"stbl", b"edts"})


def top_boxes(file: RawIOBase | BufferedIOBase, size: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, first byte of the body, end) of each box of a file of `size` bytes; the last may claim to end later."""
    position = 0
    for _ in range(_MOST_TOP_BOXES):
        if position + 8 > size:
            return
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
        header = 8
        if length == 1:
            length, header = struct.unpack(">Q", file.read(8).rjust(8, b"\0"))[0], 16
        length = size - position if length == 0 else length
        yield kind, position + header, position + length
        if length < header:
            return
        position += length


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, body) of each box in `data`."""
    position = 0
    for _ in range(_MOST_BOXES):
        if position + 8 > len(data):
            return
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        if length < 8:
            return
        yield kind, data[position + 8 : position + length]
        position += length


def descendants(data: bytes, depth: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """(kind, body) of the boxes inside those of a track, however deep."""
    for kind, body in boxes(data):
        if kind in _PARENTS and depth < 4:
            yield from descendants(body, depth + 1)
        else:
            yield kind, body


def duration(header: bytes) -> tuple[int, int]:
    """(units per second, length in units) of an mvhd or mdhd box; (0, 0) for what it does not say."""
    layout, at = (">IQ", 20) if header[:1] == b"\1" else (">II", 12)
    size = struct.calcsize(layout)
    scale, length = struct.unpack(layout, header[at : at + size].rjust(size, b"\0"))
    return scale, 0 if length in (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF) else length


def seconds(header: bytes) -> float:
    """The same in seconds, 0 where it says nothing."""
    scale, length = duration(header)
    return length / scale if scale else 0.0
