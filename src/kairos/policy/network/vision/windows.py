"""Windows of a frame's tokens: the order in which equal windows lie together, and their sizes."""

from __future__ import annotations

import torch
from torch import Tensor


def windows(rows: int, columns: int, side: int) -> tuple[Tensor, tuple[tuple[int, int], ...]]:
    """Tokens of a frame of `rows` x `columns`, window after window of `side` x `side`, and (count, length) of them.

    At the lower and right edge windows are what remains; they come last, so there are four sizes at most. The order
    int64 [rows * columns] says which token comes where.

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
    """What whole windows cover, and what remains: (start, length, side of a window)."""
    rest = length % side
    whole, remains = (0, length - rest, side), (length - rest, rest, rest)
    return [strip for strip in (whole, remains) if strip[1]]
