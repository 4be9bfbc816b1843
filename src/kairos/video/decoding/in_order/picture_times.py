"""The times of pictures that were decoded from the start, for containers that do not state one for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_REORDERED = 3
"""Frames by which FFmpeg's guess of a picture's time may be wrong: as far as pictures are commonly reordered."""


def picture_times(
    shown_N: Sequence[int | None], decoded_M: Sequence[int | None], step: float, slots: bool
) -> np.ndarray | None:
    """A time for each of N pictures in the order shown [N], strictly rising; None where none of the rules gives one.

    `shown_N` are their times as FFmpeg knows or guesses them, `decoded_M` the decoding times of the file's packets,
    `step` the stream's constant time from picture to picture (0: unknown), all in one unit. With `slots` the
    container is one that gives each packet a slot in time and no more, as AVI. The rules:

    1. With `slots`: the pictures fill the slots in the order shown.
    2. The times of the pictures, if they rise.
    3. The decoding times, sorted, if each packet became one picture.
    4. A constant rate from the first picture on, if no picture's time is more than three frames away from it.
    """
    by_slot = _rising(sorted(t for t in decoded_M if t is not None))
    filled = by_slot if by_slot is not None and len(by_slot) == len(shown_N) else None
    if slots and filled is not None:
        return filled
    known = [(place, t) for place, t in enumerate(shown_N) if t is not None]
    stated = _rising([t for _, t in known]) if len(known) == len(shown_N) else None
    if stated is not None or filled is not None or step <= 0 or not known:
        return stated if stated is not None else filled
    places, times = np.asarray(known, dtype=np.float64).T
    begin = times[0] - places[0] * step
    regular = np.abs(times - (begin + places * step)).max() <= _REORDERED * step
    return begin + np.arange(len(shown_N)) * step if regular else None


def _rising(times: list[int]) -> np.ndarray | None:
    array = np.asarray(times, dtype=np.float64)
    return array if (np.diff(array) > 0).all() else None
