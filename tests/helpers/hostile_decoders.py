"""Decoders that a hostile file could have taken over: they answer nonsense, or try what they may not."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from kairos.video.decoding.decoders import Decord
from kairos.video.errors import DecoderError, VideoError


def pipe() -> int:
    """The file descriptor over which this decoding process answers."""
    return next(number for number in range(3, 256) if _is_socket(number))


def _is_socket(number: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False


@dataclass(frozen=True)
class Answers:
    """Writes these bytes in place of an answer, then does nothing any more."""

    raw: bytes

    def describe(self) -> dict[str, str]:
        return {"decoder": "answers", "decoder_version": "1"}

    def open(self, path: str, fps: float | None) -> object:
        os.write(pipe(), self.raw)
        time.sleep(60.0)
        raise AssertionError("slept through")


@dataclass(frozen=True)
class Chunks:
    """Decodes, but says of the first chunk whatever `raw` says."""

    raw: bytes

    def describe(self) -> dict[str, str]:
        return {"decoder": "chunks", "decoder_version": "1"}

    def open(self, path: str, fps: float | None) -> object:
        from kairos.video.decoding import worker

        worker.pack_chunk = lambda first, count: self.raw
        return Decord().open(path, fps)


@dataclass(frozen=True)
class Shrinks:
    """Cuts off the memory that it shares with its parent; a VideoError says what came of it."""

    def describe(self) -> dict[str, str]:
        return {"decoder": "shrinks", "decoder_version": "1"}

    def open(self, path: str, fps: float | None) -> object:
        from kairos.video.decoding import worker

        def take(shared: object, descriptor: int) -> None:
            try:
                os.ftruncate(descriptor, 0)
            except OSError as error:
                raise VideoError(f"shrinking: {error.strerror}") from error
            raise VideoError("shrinking: done")

        worker._Shared.take = take  # type: ignore[assignment]
        return Decord().open(path, fps)


@dataclass(frozen=True)
class SaysUnusable:
    """Opens a file whose name has no "poison" in it, and says of others that no decoder is installed."""

    def describe(self) -> dict[str, str]:
        return {"decoder": "says", "decoder_version": "1"}

    def open(self, path: str, fps: float | None) -> object:
        if "poison" in path:
            raise DecoderError("nothing can be decoded here")
        return Decord().open(path, fps)


@dataclass(frozen=True)
class Shouts:
    """Writes 20 MB to stderr."""

    def describe(self) -> dict[str, str]:
        return {"decoder": "shouts", "decoder_version": "1"}

    def open(self, path: str, fps: float | None) -> object:
        try:
            for _ in range(20):
                os.write(2, b"x" * (1 << 20))
        except OSError as error:
            raise VideoError(f"shouting: {error.strerror}") from error
        return Decord().open(path, fps)


@dataclass(frozen=True)
class Tries:
    """Tries one thing; a VideoError says what came of it: "done", or the error."""

    what: str
    folder: str
    parent: int

    def describe(self) -> dict[str, str]:
        return {"decoder": "tries", "decoder_version": "1"}

    def open(self, path: str, fps: float | None) -> object:
        try:
            getattr(self, f"_{self.what}")()
        except (OSError, ValueError, AssertionError) as error:
            raise VideoError(f"{self.what}: refused ({error})") from error
        raise VideoError(f"{self.what}: done")

    def _connect(self) -> None:
        import socket

        with socket.socket() as tried:
            tried.settimeout(5)
            tried.connect(("127.0.0.1", int(Path(self.folder, "port").read_text())))

    def _send_a_packet(self) -> None:
        import socket

        with socket.socket(type=socket.SOCK_DGRAM) as tried:
            tried.sendto(b"x", ("127.0.0.1", int(Path(self.folder, "port").read_text())))

    def _write(self) -> None:
        Path(self.folder, "written").write_text("x")

    def _append(self) -> None:
        with Path(self.folder, "port").open("a") as file:
            file.write("x")

    def _remove(self) -> None:
        Path(self.folder, "port").unlink()

    def _signal(self) -> None:
        os.kill(self.parent, 0)

    def _open_many_files(self) -> None:
        kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(2000)]
        assert kept

    def _raise_its_limit(self) -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (100_000, 100_000))

    def _raise_its_memory(self) -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def _read_the_environment(self) -> None:
        assert "KAIROS_TEST_SECRET" in os.environ, "not there"

    def _trace(self) -> None:
        import ctypes

        attach = 16
        assert ctypes.CDLL(None).ptrace(attach, self.parent, None, None) == 0, "not allowed"
