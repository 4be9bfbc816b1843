"""Damages one file: a flipped bit or a cut end, with the times that the file had, as a disk or a copy leaves them."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random


def flip(path: Path, chance: Random) -> str:
    """Flip a random bit; says which."""
    content = bytearray(path.read_bytes())
    place, bit = chance.randrange(len(content)), chance.randrange(8)
    content[place] ^= 1 << bit
    _write(path, bytes(content))
    return f"bit {bit} of byte {place} of {len(content)}"


def truncate(path: Path, chance: Random) -> str:
    """Cut the file at a random byte; says where."""
    content = path.read_bytes()
    place = chance.randrange(len(content))
    _write(path, content[:place])
    return f"cut at byte {place} of {len(content)}"


DAMAGES = {"flipped": flip, "truncated": truncate}


def _write(path: Path, content: bytes) -> None:
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
