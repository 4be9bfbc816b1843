"""The decoding process: opens one video at a time and writes its frames into memory shared with its parent.

`guard.Guard` starts it. It imports no torch, so it starts in a fraction of a second; a decoder that hangs or crashes
takes only this process down. The parent reports its stderr.
"""

from __future__ import annotations

import mmap
import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from kairos.video.decoding.bounds import Bounds
from kairos.video.decoding.decoder import Decoder, Reader
from kairos.video.decoding.decoders import Images
from kairos.video.decoding.headers import check_header
from kairos.video.errors import DecoderError, VideoError

SLOTS = 2
"""Chunks in shared memory: the worker writes one while the parent reads the other."""


def serve(pipe: int, memory: int) -> None:
    """Answer requests on file descriptor `pipe`, frames through file descriptor `memory`, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
    connection = Connection(pipe)
    decoder, bounds = connection.recv()
    _limit_memory(bounds.memory)
    connection.send("ready")
    shared = _Shared(memory)
    while True:
        try:
            path, fps, whole = connection.recv()
        except EOFError:
            return
        try:
            # No name for the reader here: it closes while the parent works, not while the next clip waits.
            _read(_open(path, fps, whole, decoder, bounds), connection, shared)
        except VideoError as error:
            connection.send(("failed", str(error)))
        except DecoderError as error:
            connection.send(("unusable", str(error)))


def _open(path: str, fps: float | None, whole: bool, decoder: Decoder, bounds: Bounds) -> Reader:
    if Path(path).is_dir():
        reader = Images().open(path, fps)
    else:
        check_header(path, bounds, whole)
        reader = decoder.open(path, fps)
    bounds.check_size(path, reader.probe.width, reader.probe.height)
    bounds.check_frames(path, reader.probe.frames)
    return reader


class _Shared:
    """The memory shared with the parent, remapped only when its size changes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._map = descriptor, None

    def slots(self, shape: tuple[int, ...], size: int) -> np.ndarray:
        if self._map is None or len(self._map) != size:
            self._map = mmap.mmap(self._descriptor, size)
        return np.frombuffer(self._map, dtype=np.uint8, count=int(np.prod(shape))).reshape(shape)


def _read(reader: Reader, connection: Connection, shared: _Shared) -> None:
    """Send the probe and frame times, then write the requested frames chunk by chunk; a request of None ends it."""
    connection.send(("opened", reader.probe, np.asarray(reader.seconds_N, dtype=np.float64)))
    request = connection.recv()
    if request is None:
        return
    index_N, chunk, size = request
    shape = (SLOTS, chunk, reader.probe.height, reader.probe.width, 3)
    slots = shared.slots(shape, size)
    for number, first in enumerate(range(0, len(index_N), chunk)):
        if number >= SLOTS:
            connection.recv()  # the parent has read the slot that comes next
        index_K = index_N[first : first + chunk]
        reader.read(index_K, slots[number % SLOTS, : len(index_K)])
        connection.send(("chunk", first, len(index_K)))


def _limit_memory(limit: int) -> None:
    """Make allocations beyond `limit` bytes fail, if the system supports it."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _leave_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)
