"""Which frames are compared with a decode from the start, to find a decoder that jumps to the wrong ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kairos.video.decoding.decoder import Decoder, Reader


@dataclass(frozen=True)
class Comparison:
    """Which frames are compared.

    A chosen file takes about twice as long to decode, less if it is longer than `seconds`: all together about `share`
    longer.
    """

    share: float = 0.03
    """Of the files, chosen by a hash of their names; 0 compares none, 1 all."""
    frames: int = 3
    """Frames of a file, as far as the clip has them within its first `seconds`."""
    seconds: float = 30.0
    """How much of a file is decoded from the start at most."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"comparison.share must lie in [0, 1], got {self.share}")
        if self.frames < 1:
            raise ValueError(f"comparison.frames must be >= 1, got {self.frames}; share=0 compares none")
        if not self.seconds > 0:
            raise ValueError(f"comparison.seconds must be positive, got {self.seconds}")

    def chooses(self, path: str) -> bool:
        """Whether this file is compared: the same answer on every machine."""
        digest = hashlib.blake2b(Path(path).name.encode(errors="replace"), digest_size=8).digest()
        return int.from_bytes(digest) < self.share * 2**64

    def of(self, decoder: Decoder) -> Decoder:
        """The decoder, its frames compared."""
        return decoder if self.share == 0 else _Compared(decoder, self)


@dataclass(frozen=True)
class _Compared:
    decoder: Decoder
    comparison: Comparison

    def describe(self) -> Mapping[str, str]:
        return self.decoder.describe()

    def open(self, path: str, fps: float | None) -> Reader:
        from kairos.video.decoding.readers.compared import ComparedReader

        reader = self.decoder.open(path, fps)
        if not self.comparison.chooses(path):
            return reader
        return ComparedReader(path, reader, self.comparison.frames, self.comparison.seconds)
