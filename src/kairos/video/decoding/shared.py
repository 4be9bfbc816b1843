"""Memory that a guard shares with its decoding process, as large as the guard says: the process cannot shrink it."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile

import numpy as np

from kairos.video.errors import StoreError

_KEPT_BYTES = 128 << 20


class SharedMemory:
    """Grows and shrinks by being made anew; `take_descriptor` hands over what the other process has not seen yet."""

    def __init__(self) -> None:
        self.size = 0
        self._map: mmap.mmap | None = None
        self._unsent: int | None = None

    def resize(self, size: int) -> None:
        """At least `size` bytes; beyond 128 MiB the memory shrinks again when less is needed. StoreError."""
        size = max(size, min(self.size, _KEPT_BYTES))
        if size == self.size:
            return
        self.close()
        descriptor = -1
        try:
            descriptor = _sealed_file(size)
            self._map = mmap.mmap(descriptor, size)
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            raise StoreError(
                f"no {size} bytes to share with the decoding process ({error.strerror}); raise the file-size limit "
                "(ulimit -f) or free memory"
            ) from error
        self.size, self._unsent = size, descriptor

    def array(self, shape: tuple[int, ...]) -> np.ndarray:
        """The beginning of the memory as uint8 of this shape."""
        assert self._map is not None
        return np.frombuffer(self._map, dtype=np.uint8, count=int(np.prod(shape))).reshape(shape)

    def take_descriptor(self) -> int | None:
        """The open file of the memory, the first time after it was made; the caller closes it."""
        descriptor, self._unsent = self._unsent, None
        return descriptor

    def close(self) -> None:
        """Let the memory go; arrays of it stay valid until they are dropped."""
        self.size, self._map = 0, None
        if self._unsent is not None:
            os.close(self._unsent)
            self._unsent = None


def _sealed_file(size: int) -> int:
    """A file of anonymous memory, its size sealed on Linux: reading a map whose file was cut off kills a process."""
    if not sys.platform.startswith("linux"):
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            return os.dup(file.fileno())
    import fcntl

    descriptor = os.memfd_create("kairos-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
