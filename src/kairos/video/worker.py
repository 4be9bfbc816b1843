"""The decoding process: opens one video at a time and writes its frames into memory shared with its parent.

Started by `guard.Guard`. It imports neither torch nor the data side, so it starts in a fraction of a second; when a
decoder hangs or crashes here, only this process is lost. What it writes to stderr is its parent's to report.
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

from kairos.video.bounds import Bounds
from kairos.video.decoders import Decoder, Images, Reader
from kairos.video.errors import DecoderError, VideoError
from kairos.video.headers import check_header

SLOTS = 2
"""Chunks that may be under way: one being written here while the parent reads the other."""


def serve(pipe: int, memory: int) -> None:
    """Answer requests on file descriptor `pipe`, frames through file descriptor `memory`, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
    connection = Connection(pipe)
    decoder, bounds = connection.recv()
    _limit_memory(bounds.memory)
    connection.send("ready")
    while True:
        try:
            path, fps, whole = connection.recv()
        except EOFError:
            return
        try:
            reader = _open(path, fps, whole, decoder, bounds)
            connection.send(("opened", reader.probe, np.asarray(reader.seconds_N, dtype=np.float64)))
            _read(reader, connection, memory)
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


def _read(reader: Reader, connection: Connection, memory: int) -> None:
    """Write the frames asked for, chunk by chunk; None instead of a request means that they are not wanted."""
    request = connection.recv()
    if request is None:
        return
    index_N, chunk, size = request
    shape = (SLOTS, chunk, reader.probe.height, reader.probe.width, 3)
    slots = np.frombuffer(mmap.mmap(memory, size), dtype=np.uint8, count=int(np.prod(shape))).reshape(shape)
    for number, first in enumerate(range(0, len(index_N), chunk)):
        if number >= SLOTS:
            connection.recv()  # the parent has read the slot that comes next
        index_K = index_N[first : first + chunk]
        reader.read(index_K, slots[number % SLOTS, : len(index_K)])
        connection.send(("chunk", first, len(index_K)))


def _limit_memory(limit: int) -> None:
    """Let allocations beyond `limit` bytes fail, where the system can."""
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
