"""Decodes in a worker process with a time limit, so that a decoder that hangs or crashes is an error of one clip.

The process is not trusted: it gives up what it does not need (`confinement`), and what it answers is checked (`wire`).
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from kairos.core.types import VideoSource
from kairos.video.decoding.bounds import Bounds
from kairos.video.decoding.comparison import Comparison
from kairos.video.decoding.confinement import environment
from kairos.video.decoding.decoder import Decoder, Probe
from kairos.video.decoding.shared import SharedMemory
from kairos.video.decoding.wire import (
    MOST_TEXT,
    Kind,
    Wire,
    WireError,
    check_chunk,
    most_of_opened,
    text_of,
    unpack_opened,
)
from kairos.video.decoding.worker import SLOTS
from kairos.video.errors import DecoderError, VideoError

_CHUNK_BYTES = 4 << 20
_START_SECONDS = 120.0
_END_SECONDS = 5.0
_LIFE_SECONDS = 3600.0
"""An older worker is replaced between two clips, so that its limit of processor time ends only what runs wild."""
_CPU_SECONDS = int(2 * _LIFE_SECONDS * (os.cpu_count() or 1))


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
        self.memory = SharedMemory()
        self.owner, self.begun = os.getpid(), time.monotonic()
        ours, theirs = socket.socketpair()
        self.wire = Wire(ours)
        confine = f"from kairos.video.decoding.confinement import confine; confine({_CPU_SECONDS}); "
        program = (
            f"import sys; sys.path[:] = {sys.path!r}; {confine if bounds.confined else ''}"
            f"from kairos.video.decoding.worker import serve; serve({theirs.fileno()})"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.stderr,
            pass_fds=(theirs.fileno(),),
            env=environment() if bounds.confined else None,
        )
        theirs.close()
        self.stop = weakref.finalize(self, _stop, self.process, self.wire, self.memory, self.owner)
        try:
            self.wire.send(Kind.START, pickle.dumps((decoder, bounds)), seconds=_START_SECONDS)
            self.wire.receive(0, _START_SECONDS)
        except TimeoutError as error:
            self.stop()
            raise DecoderError(f"the decoding process did not start within {_START_SECONDS:g} s") from error
        except (EOFError, OSError, WireError) as error:
            raise DecoderError(f"the decoding process did not start: {self.last_words()}") from error

    @property
    def usable(self) -> bool:
        """Whether it lives, and is young enough for another clip."""
        return self.process.poll() is None and time.monotonic() - self.begun < _LIFE_SECONDS

    def last_words(self) -> str:
        """How the process ended, and the last line of its stderr."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_SECONDS)
        self.stop()
        code = self.process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        self.stderr.seek(0)
        lines = self.stderr.read()[-4000:].decode(errors="replace").strip().splitlines()
        return f"{how}: {text_of(lines[-1].encode())[:300]}" if lines else how


class Guard:
    """Decodes in a worker process that lives on between clips. For one thread at a time.

    `time_limit`: the most seconds to wait for one clip, from opening to its last frame. `comparison`: which frames are
    compared with a decode from the start; none by default.
    """

    def __init__(
        self,
        decoder: Decoder,
        time_limit: float = 60.0,
        bounds: Bounds | None = None,
        comparison: Comparison | None = None,
    ) -> None:
        if not time_limit > 0:
            raise ValueError(f"time_limit must be positive (seconds per clip), got {time_limit}")
        if type(decoder).__module__ == "__main__":
            raise ValueError(
                f"decoder {type(decoder).__name__} is defined in __main__, where a decoding process cannot find it; "
                "define it in a module that can be imported"
            )
        self._decoder = comparison.of(decoder) if comparison else decoder
        self._limit, self._bounds = time_limit, bounds or Bounds()
        self._worker: _Worker | None = None
        self._source = VideoSource("")
        self._opened: Opened | None = None
        self._left = 0.0
        self._proven = False

    def open(self, source: VideoSource) -> Opened:
        """Open `source` and learn its frames' times. VideoError, DecoderError."""
        if self._opened is not None:  # opened, but its frames were never asked for
            self._send(Kind.CLOSE)
        self._source, self._opened, self._left = source, None, self._limit
        if self._worker is None or not self._worker.usable:
            self.close()
            self._worker = _Worker(self._decoder, self._bounds)
        self._worker.stderr.truncate(0)
        self._worker.stderr.seek(0)
        whole = source.start is None and source.end is None
        path = os.path.abspath(source.path)  # noqa: PTH100 - must not resolve links
        self._send(Kind.OPEN, json.dumps({"path": path, "fps": source.fps, "whole": whole}))
        with self._refusing_nonsense():
            probe, seconds_N = unpack_opened(self._receive(Kind.OPENED, most_of_opened(self._bounds.frames)))
            if probe.width * probe.height > self._bounds.pixels:  # which the process has checked, if it is ours
                raise WireError(f"frames of {probe.width}x{probe.height} pixels")
        self._opened, self._proven = Opened(probe, seconds_N), True
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
        worker.memory.resize(SLOTS * chunk * frame)
        slots = worker.memory.array((SLOTS, chunk, probe.height, probe.width, 3))
        descriptor = worker.memory.take_descriptor()
        try:
            self._send(Kind.FRAMES, json.dumps({"index": index_N, "chunk": chunk}), descriptor)
        finally:
            if descriptor is not None:
                os.close(descriptor)
        finished, starts = False, range(0, len(index_N), chunk)
        try:
            for number, first in enumerate(starts):
                count = min(chunk, len(index_N) - first)
                with self._refusing_nonsense():
                    check_chunk(self._receive(Kind.CHUNK, MOST_TEXT), first, count)
                yield first, slots[number % SLOTS, :count]
                if number + SLOTS < len(starts):
                    self._send(Kind.NEXT)
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

    def _send(self, kind: Kind, text: str = "", descriptor: int | None = None) -> None:
        assert self._worker is not None
        with contextlib.suppress(OSError):  # it died or does not listen; receiving says how
            self._worker.wire.send(kind, text.encode(), descriptor, max(self._left, 1.0))

    def _receive(self, expected: Kind, most: int) -> bytearray:
        assert self._worker is not None
        since = time.monotonic()
        try:
            kind, payload = self._worker.wire.receive(max(most, MOST_TEXT), max(0.0, self._left))
        except TimeoutError as error:
            self.close()
            raise VideoError(
                f"{self._source}: decoding took more than {self._limit:g} s and was stopped (the decoder hangs, or the "
                "clip is very long); re-encode it, name a sub-clip, or raise the loader's time_limit"
            ) from error
        except (EOFError, OSError) as error:
            words = self._worker.last_words()
            self.close()
            raise VideoError(
                f"{self._source}: the decoder crashed on it ({words}); re-encode the file or use another decoder"
            ) from error
        self._left -= time.monotonic() - since
        if kind is Kind.FAILED:
            raise VideoError(text_of(payload))
        if kind is Kind.UNUSABLE and not self._proven:  # a decoder that has opened a video is usable
            raise DecoderError(text_of(payload))
        if kind is not expected:
            raise WireError(f"{kind.name} where {expected.name} is expected")
        return payload

    @contextlib.contextmanager
    def _refusing_nonsense(self) -> Iterator[None]:
        """Turn a message that no decoding process of ours sends into a VideoError, and stop the process."""
        try:
            yield
        except WireError as error:
            self.close()
            raise VideoError(
                f"{self._source}: the decoding process answered {error}, which no decoder does: the file may have "
                "taken its decoder over; leave it out, or find out where it comes from"
            ) from error


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

    def get(self, decoder: Decoder, time_limit: float, bounds: Bounds, comparison: Comparison) -> Guard:
        if self._guard is None or self._pid != os.getpid():
            self._guard, self._pid = Guard(decoder, time_limit, bounds, comparison), os.getpid()
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


def _largest_file() -> int:
    """The system's limit on file size in bytes, which applies to shared memory too."""
    try:
        import resource
    except ImportError:
        return _CHUNK_BYTES * SLOTS
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return _CHUNK_BYTES * SLOTS if soft == resource.RLIM_INFINITY else soft


def _stop(process: subprocess.Popen[bytes], wire: Wire, memory: SharedMemory, owner: int) -> None:
    """Kill the worker and release its pipe and memory, unless this process is a fork of the one that owns it."""
    if os.getpid() != owner:
        return
    wire.close()
    memory.close()
    if process.poll() is None:
        process.kill()
    process.wait()
