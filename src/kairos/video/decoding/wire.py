"""Messages between a guard and its decoding process: a header of eight bytes, then a payload of so many bytes.

What the decoding process sends is never unpickled: numbers of fixed layout, text and float64 times, each checked for
its size before it is read. The other way, the decoder alone is pickled (START), because it may be any user's class.
"""

from __future__ import annotations

import math
import socket
import struct
import time
from enum import IntEnum

import numpy as np

from kairos.video.decoding.decoder import Probe

MOST_TEXT = 4096
"""Bytes of a message's text; longer ones are cut by the sender and refused by the receiver."""
_HEADER = struct.Struct("<II")
_PROBE = struct.Struct("<qdqqdI")
_CHUNK = struct.Struct("<QQ")


class Kind(IntEnum):
    """What a message is. START to CLOSE go to the decoding process, READY to UNUSABLE come from it."""

    START = 1
    OPEN = 2
    FRAMES = 3
    NEXT = 4
    CLOSE = 5
    READY = 11
    OPENED = 12
    CHUNK = 13
    FAILED = 14
    UNUSABLE = 15


class WireError(Exception):
    """A message that the other side never sends."""


class Wire:
    """One end of the pipe: a connected socket. Not for two threads at once."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def send(
        self, kind: Kind, payload: bytes = b"", descriptor: int | None = None, seconds: float | None = None
    ) -> None:
        """Send a message, with an open file if one is given. TimeoutError after `seconds`, OSError if nobody reads."""
        self._socket.settimeout(seconds)
        data = _HEADER.pack(kind, len(payload)) + payload
        if descriptor is not None:
            data = data[socket.send_fds(self._socket, [data], [descriptor]) :]
        self._socket.sendall(data)

    def receive(self, most: int, seconds: float | None = None) -> tuple[Kind, bytearray]:
        """The next message, of at most `most` bytes. WireError, EOFError, TimeoutError after `seconds`."""
        kind, payload, _ = self._receive(most, seconds, with_descriptor=False)
        return kind, payload

    def receive_with_descriptor(self, most: int) -> tuple[Kind, bytearray, int | None]:
        """As `receive`, and the open file that came with the message."""
        return self._receive(most, None, with_descriptor=True)

    def close(self) -> None:
        self._socket.close()

    def _receive(self, most: int, seconds: float | None, with_descriptor: bool) -> tuple[Kind, bytearray, int | None]:
        ends = None if seconds is None else time.monotonic() + seconds
        header, descriptor = bytearray(_HEADER.size), None
        view = memoryview(header)
        if with_descriptor:
            first, descriptors, _, _ = socket.recv_fds(self._socket, _HEADER.size, 1)
            if not first:
                raise EOFError
            descriptor = descriptors[0] if descriptors else None
            header[: len(first)], view = first, view[len(first) :]
        self._fill(view, ends)
        number, size = _HEADER.unpack(header)
        if number not in Kind.__members__.values():
            raise WireError(f"a message of kind {number}")
        if size > most:
            raise WireError(f"a message of {size} bytes where at most {most} are expected")
        payload = bytearray(size)
        self._fill(memoryview(payload), ends)
        return Kind(number), payload, descriptor

    def _fill(self, view: memoryview, ends: float | None) -> None:
        while view:
            left = None if ends is None else ends - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            count = self._socket.recv_into(view)
            if not count:
                raise EOFError
            view = view[count:]


def pack_opened(probe: Probe, seconds_N: np.ndarray) -> bytes:
    """The payload of OPENED: the probe's numbers, its version, and the frames' times."""
    version = probe.version.encode()[:MOST_TEXT]
    numbers = (int(probe.frames), float(probe.fps), int(probe.width), int(probe.height), float(probe.duration))
    return _PROBE.pack(*numbers, len(version)) + version + np.asarray(seconds_N, dtype="<f8").tobytes()


def unpack_opened(payload: bytearray) -> tuple[Probe, np.ndarray]:
    """What `pack_opened` packed. WireError unless every number is one that a video can have, and all fit together."""
    if len(payload) < _PROBE.size:
        raise WireError(f"a description of {len(payload)} bytes")
    frames, fps, width, height, duration, letters = _PROBE.unpack_from(payload)
    times = payload[_PROBE.size + letters :]
    if frames < 1 or len(times) != 8 * frames:
        raise WireError(f"{len(times)} bytes of times for {frames} frames")
    if not (0 < fps < math.inf and 0 <= duration < math.inf):
        raise WireError(f"{fps} frames a second for {duration} s")
    if width < 1 or height < 1:
        raise WireError(f"frames of {width}x{height} pixels")
    seconds_N = np.frombuffer(bytes(times), dtype="<f8").astype(np.float64)
    if not np.isfinite(seconds_N).all():
        raise WireError("times that are no numbers")
    version = text_of(payload[_PROBE.size : _PROBE.size + letters])
    return Probe(frames, fps, width, height, duration, version), seconds_N


def most_of_opened(frames: int) -> int:
    """The most bytes of OPENED for a video of so many frames."""
    return _PROBE.size + MOST_TEXT + 8 * frames


def pack_chunk(first: int, count: int) -> bytes:
    """The payload of CHUNK: frames `first` to `first + count` of those asked for are written."""
    return _CHUNK.pack(first, count)


def check_chunk(payload: bytearray, first: int, count: int) -> None:
    """WireError unless the chunk is the one that is due."""
    if bytes(payload) != pack_chunk(first, count):
        raise WireError(f"another chunk than frames {first} to {first + count}")


def pack_text(text: str) -> bytes:
    """A message's text, cut to `MOST_TEXT` bytes."""
    return text.encode(errors="backslashreplace")[:MOST_TEXT]


def text_of(payload: bytes | bytearray) -> str:
    """The text of a message, without characters that steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in payload.decode(errors="replace"))
