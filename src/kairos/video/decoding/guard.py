"""Decodes in a worker process with a time limit, so that a decoder that hangs or crashes is an error of one clip."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import numpy as np

from kairos.core.types import VideoSource
from kairos.video.decoding.bounds import Bounds
from kairos.video.decoding.decoder import Decoder, Probe
from kairos.video.decoding.worker import SLOTS
from kairos.video.errors import DecoderError, StoreError, VideoError

_CHUNK_BYTES = 4 << 20
_KEPT_BYTES = 128 << 20
_START_SECONDS = 120.0
_END_SECONDS = 5.0


@dataclass(frozen=True)
class Opened:
    """An open video."""

    probe: Probe
    seconds_N: np.ndarray
    """Presentation times of all its frames: float64, seconds of the source."""


class _Worker:
    """One decoding process with its pipe and the shared memory into which it writes frames."""

    def __init__(self, decoder: Decoder, bounds: Bounds) -> None:
        self.stderr = tempfile.TemporaryFile("w+b", buffering=0)  # noqa: SIM115 - lives as long as the process
        self.memory = _anonymous_file()
        self.size = 0
        self.map: mmap.mmap | None = None
        self.pipe, theirs = Pipe()
        self.owner = os.getpid()
        program = (
            f"import sys; sys.path[:] = {sys.path!r}; from kairos.video.decoding.worker import serve; "
            f"serve({theirs.fileno()}, {self.memory})"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.stderr,
            pass_fds=(theirs.fileno(), self.memory),
        )
        theirs.close()
        self.stop = weakref.finalize(self, _stop, self.process, self.pipe, self.memory, self.owner)
        try:
            self.pipe.send((decoder, bounds))
            if not self.pipe.poll(_START_SECONDS):
                raise DecoderError(f"the decoding process did not start within {_START_SECONDS:g} s")
            self.pipe.recv()
        except (EOFError, ConnectionError) as error:
            raise DecoderError(f"the decoding process did not start: {self.last_words()}") from error

    def resize(self, size: int) -> None:
        """Make the shared memory at least `size` bytes; beyond 128 MiB it shrinks again when less is needed."""
        size = max(size, min(self.size, _KEPT_BYTES))
        if size != self.size:
            self.map = None
            try:
                os.ftruncate(self.memory, size)
            except OSError as error:
                raise StoreError(
                    f"no {size} bytes to share with the decoding process ({error.strerror}); raise the file-size limit "
                    "(ulimit -f) or free memory"
                ) from error
            self.map, self.size = mmap.mmap(self.memory, size), size

    def last_words(self) -> str:
        """How the process ended, and the last line of its stderr."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_SECONDS)
        self.stop()
        code = self.process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        self.stderr.seek(0)
        lines = self.stderr.read()[-4000:].decode(errors="replace").strip().splitlines()
        return f"{how}: {lines[-1][:300]}" if lines else how


class Guard:
    """Decodes in a worker process that lives on between clips. For one thread at a time.

    `time_limit`: the most seconds to wait for one clip, from opening to its last frame.
    """

    def __init__(self, decoder: Decoder, time_limit: float = 60.0, bounds: Bounds | None = None) -> None:
        if not time_limit > 0:
            raise ValueError(f"time_limit must be positive (seconds per clip), got {time_limit}")
        if type(decoder).__module__ == "__main__":
            raise ValueError(
                f"decoder {type(decoder).__name__} is defined in __main__, where a decoding process cannot find it; "
                "define it in a module that can be imported"
            )
        self._decoder, self._limit, self._bounds = decoder, time_limit, bounds or Bounds()
        self._worker: _Worker | None = None
        self._source = VideoSource("")
        self._opened: Opened | None = None
        self._left = 0.0

    def open(self, source: VideoSource) -> Opened:
        """Open `source` and learn its frames' times. VideoError, DecoderError."""
        if self._opened is not None:  # opened, but its frames were never asked for
            self._send(None)
        self._source, self._opened, self._left = source, None, self._limit
        if self._worker is None or self._worker.process.poll() is not None:
            self.close()
            self._worker = _Worker(self._decoder, self._bounds)
        self._worker.stderr.truncate(0)
        self._worker.stderr.seek(0)
        whole = source.start is None and source.end is None
        self._send((os.path.abspath(source.path), source.fps, whole))  # noqa: PTH100 - must not resolve links
        _, probe, seconds_N = self._receive()
        self._opened = Opened(probe, seconds_N)
        return self._opened

    def frames(self, index_N: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The frames at `index_N` (rising) in chunks: (position of the chunk in `index_N`, [K, H, W, 3] uint8 RGB).

        The arrays are in shared memory: each is valid until the next is requested. VideoError.
        """
        if self._opened is None or self._worker is None:
            raise ValueError("open a source before asking for its frames")
        probe, self._opened, worker = self._opened.probe, None, self._worker
        frame = probe.height * probe.width * 3
        chunk = max(1, min(len(index_N), min(_CHUNK_BYTES, _largest_file() // SLOTS) // frame))
        worker.resize(SLOTS * chunk * frame)
        shape = (SLOTS, chunk, probe.height, probe.width, 3)
        assert worker.map is not None
        slots = np.frombuffer(worker.map, dtype=np.uint8, count=SLOTS * chunk * frame).reshape(shape)
        self._send((index_N, chunk, worker.size))
        finished, sent = False, -(-len(index_N) // chunk)
        try:
            for number in range(sent):
                _, first, count = self._receive()
                yield first, slots[number % SLOTS, :count]
                if number + SLOTS < sent:
                    self._send("read")
            finished = True
        finally:
            if not finished:
                self.close()

    def close(self) -> None:
        """Stop the worker process; the next `open` starts another."""
        self._opened = None
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def kill(self) -> None:
        """Kill the worker process of this guard from another thread, which learns it from the pipe."""
        if self._worker is not None and self._worker.owner == os.getpid():
            self._worker.process.kill()

    def _send(self, message: object) -> None:
        assert self._worker is not None
        with contextlib.suppress(BrokenPipeError, ConnectionError):  # it died; receiving says how
            self._worker.pipe.send(message)

    def _receive(self) -> tuple:
        assert self._worker is not None
        since = time.monotonic()
        try:
            arrived = self._worker.pipe.poll(max(0.0, self._left))
            answer = self._worker.pipe.recv() if arrived else None
        except (EOFError, ConnectionError) as error:
            words = self._worker.last_words()
            self.close()
            raise VideoError(
                f"{self._source}: the decoder crashed on it ({words}); re-encode the file or use another decoder"
            ) from error
        self._left -= time.monotonic() - since
        if answer is None:
            self.close()
            raise VideoError(
                f"{self._source}: decoding took more than {self._limit:g} s and was stopped (the decoder hangs, or the "
                "clip is very long); re-encode it, name a sub-clip, or raise the loader's time_limit"
            )
        if answer[0] == "failed":
            raise VideoError(answer[1])
        if answer[0] == "unusable":
            raise DecoderError(answer[1])
        return answer


class Guards(threading.local):
    """One guard per thread and process, made when first needed; a pickled or forked copy starts with none."""

    def __init__(self, every: weakref.WeakSet[Guard]) -> None:
        self._guard: Guard | None = None
        self._pid = -1
        self._every = every

    @classmethod
    def new(cls) -> Guards:
        return cls(weakref.WeakSet())  # `threading.local` calls __init__ once a thread, with this one set

    def __reduce__(self) -> tuple[Callable[[], Guards], tuple[()]]:
        return Guards.new, ()

    def get(self, decoder: Decoder, time_limit: float, bounds: Bounds) -> Guard:
        if self._guard is None or self._pid != os.getpid():
            self._guard, self._pid = Guard(decoder, time_limit, bounds), os.getpid()
            self._every.add(self._guard)
        return self._guard

    def stop(self) -> None:
        """Kill the workers of all threads of this process: what they decode becomes a VideoError there."""
        for guard in tuple(self._every):
            guard.kill()

    def close(self) -> None:
        """Stop this thread's worker."""
        if self._guard is not None and self._pid == os.getpid():
            self._guard.close()


def _anonymous_file() -> int:
    """A file descriptor of anonymous memory that a child process can map."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("kairos-frames")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _largest_file() -> int:
    """The system's limit on file size in bytes, which applies to shared memory too."""
    try:
        import resource
    except ImportError:
        return _CHUNK_BYTES * SLOTS
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return _CHUNK_BYTES * SLOTS if soft == resource.RLIM_INFINITY else soft


def _stop(process: subprocess.Popen[bytes], pipe: Connection, memory: int, owner: int) -> None:
    """Kill the worker and release its pipe and memory, unless this process is a fork of the one that owns it."""
    if os.getpid() != owner:
        return
    pipe.close()
    os.close(memory)
    if process.poll() is None:
        process.kill()
    process.wait()
