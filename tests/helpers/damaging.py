"""Damages files at seeded places, as a bad disk or an interrupted copy does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def flipped(path: Path, seed: int) -> Iterator[int]:
    """Inside the context one bit of the file differs, at a place drawn from `seed`; gives the byte's position."""
    whole, draw = path.read_bytes(), random.Random(seed)
    place, bit = draw.randrange(len(whole)), draw.randrange(8)
    with _holding(path, whole, whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]):
        yield place


@contextmanager
def cut(path: Path, seed: int) -> Iterator[int]:
    """Inside the context the file is shorter, cut at a place drawn from `seed`; gives its length."""
    whole = path.read_bytes()
    length = random.Random(seed).randrange(len(whole))
    with _holding(path, whole, whole[:length]):
        yield length


@contextmanager
def _holding(path: Path, whole: bytes, damaged: bytes) -> Iterator[None]:
    path.write_bytes(damaged)
    try:
        yield
    finally:
        path.write_bytes(whole)
