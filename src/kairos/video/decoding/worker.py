"""The decoding process: opens one video at a time and writes its frames into memory shared with its parent.

`guard.Guard` starts it. It imports no torch, so it starts in a fraction of a second; a decoder that hangs or crashes
takes only this process down. The parent reports its stderr.
"""

from __future__ import annotations

import json
import mmap
import os
import pickle
import signal
import socket
import threading
import time

import numpy as np

from kairos.video.decoding.bounds import Bounds
from kairos.video.decoding.decoder import Decoder, Reader
from kairos.video.decoding.decoders import Images, InOrder
from kairos.video.decoding.headers import check_header
from kairos.video.decoding.in_order.access import Access, access
from kairos.video.decoding.times import check_times
from kairos.video.decoding.wire import Kind, Wire, pack_chunk, pack_opened, pack_text
from kairos.video.errors import DecoderError, VideoError

SLOTS = 2
"""Chunks in shared memory: the worker writes one while the parent reads the other."""
_MOST_REQUEST = 1 << 30


def serve(descriptor: int) -> None:
    """Answer requests on the socket of file descriptor `descriptor` until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
    wire = Wire(socket.socket(fileno=descriptor))
    _, start = wire.receive(_MOST_REQUEST)
    decoder, bounds = pickle.loads(start)  # from the parent, which chose the decoder
    _limit_memory(bounds.memory)
    wire.send(Kind.READY)
    shared = _Shared()
    while True:
        try:
            _, payload = wire.receive(_MOST_REQUEST)
        except EOFError:
            return
        request = json.loads(payload)
        try:
            # No name for the reader here: it closes while the parent works, not while the next clip waits.
            _read(_open(request["path"], request["fps"], request["whole"], decoder, bounds), wire, shared)
        except VideoError as error:
            wire.send(Kind.FAILED, pack_text(str(error)))
        except DecoderError as error:
            wire.send(Kind.UNUSABLE, pack_text(str(error)))


def _open(path: str, fps: float | None, whole: bool, decoder: Decoder, bounds: Bounds) -> Reader:
    found, stated = access(path), 0.0
    if found is not Access.FOLDER:
        stated = check_header(path, bounds, whole)
    reader = {Access.FOLDER: Images(), Access.IN_ORDER: InOrder()}.get(found, decoder).open(path, fps)
    bounds.check_size(path, reader.probe.width, reader.probe.height)
    bounds.check_frames(path, reader.probe.frames)
    check_times(path, reader, stated)
    return reader


class _Shared:
    """The memory shared with the parent, which sends it anew when its size changes."""

    def __init__(self) -> None:
        self._map: mmap.mmap | None = None

    def take(self, descriptor: int | None) -> None:
        if descriptor is not None:
            self._map = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
            os.close(descriptor)

    def slots(self, shape: tuple[int, ...]) -> np.ndarray:
        assert self._map is not None
        return np.frombuffer(self._map, dtype=np.uint8, count=int(np.prod(shape))).reshape(shape)


def _read(reader: Reader, wire: Wire, shared: _Shared) -> None:
    """Send the probe and frame times, then write the requested frames chunk by chunk; CLOSE ends it."""
    wire.send(Kind.OPENED, pack_opened(reader.probe, reader.seconds_N))
    kind, payload, descriptor = wire.receive_with_descriptor(_MOST_REQUEST)
    shared.take(descriptor)
    if kind is Kind.CLOSE:
        return
    request = json.loads(payload)
    index_N, chunk = request["index"], request["chunk"]
    slots = shared.slots((SLOTS, chunk, reader.probe.height, reader.probe.width, 3))
    for number, first in enumerate(range(0, len(index_N), chunk)):
        if number >= SLOTS:
            wire.receive(0)  # NEXT: the parent has read the slot that comes next
        index_K = index_N[first : first + chunk]
        reader.read(index_K, slots[number % SLOTS, : len(index_K)])
        wire.send(Kind.CHUNK, pack_chunk(first, len(index_K)))


def _limit_memory(limit: int) -> None:
    """Make allocations beyond `limit` bytes fail, if the system supports it."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _leave_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)
