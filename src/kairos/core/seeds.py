"""Sampling noise as a pure function of (seed, uid, row, position): it has no state and does not depend on batching."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(*parts: int | str) -> int:
    """Hashes numbers and names into a 63-bit seed, the same on every machine.

    >>> mix(0, "clip", 3) == mix(0, "clip", 3) != mix(0, "clip", 4)
    True
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def uniforms(seed: int, uid: str, rows: int, positions: int, first_row: int = 0) -> Tensor:
    """Uniform numbers in (0, 1), float64 [rows, positions].

    Element (i, j) depends only on (seed, uid, first_row + i, j). A splitmix64 finaliser over a counter; 53 bits each.
    """
    key = np.uint64(mix(seed, uid))
    row = (np.arange(first_row, first_row + rows, dtype=np.uint64)[:, None] + np.uint64(1)) << np.uint64(32)
    counter = row + np.arange(positions, dtype=np.uint64)[None, :]
    with np.errstate(over="ignore"):
        z = _scramble(_scramble(key + counter * _GOLDEN) + key)
    return torch.from_numpy(((z >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)


def _scramble(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
