"""Orders a frame's tokens by window, windows of one size together, and counts the windows of each size."""

from __future__ import annotations

import torch
from torch import Tensor


def windows(rows: int, columns: int, side: int) -> tuple[Tensor, tuple[tuple[int, int], ...]]:
    """The order of a frame's `rows` x `columns` tokens by window of `side` x `side`, and the windows' (count, length).

    The order, int64 [rows * columns], lists token indices. Windows at the lower and right edge are smaller: there are
    at most four sizes, the whole windows first.

    >>> windows(3, 2, 2)[1]
    ((1, 4), (1, 2))
    """
    index = torch.arange(rows * columns).view(rows, columns)
    order, sizes = [], []
    for top, high, tall in _strips(rows, side):
        for left, wide, broad in _strips(columns, side):
            part = index[top : top + high, left : left + wide]
            part = part.view(high // tall, tall, wide // broad, broad).transpose(1, 2)
            order.append(part.reshape(-1))
            sizes.append((part.shape[0] * part.shape[1], tall * broad))
    return torch.cat(order), tuple(sizes)


def _strips(length: int, side: int) -> list[tuple[int, int, int]]:
    """Cut one axis into whole windows and the rest: (start, length, side of a window) of each that is not empty."""
    rest = length % side
    whole, remains = (0, length - rest, side), (length - rest, rest, rest)
    return [strip for strip in (whole, remains) if strip[1]]
