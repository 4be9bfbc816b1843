"""Attention within segments: each temporal patch, or each window, attends to itself only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


class Stretch(NamedTuple):
    """A pattern of segments that repeats, such as the windows of every temporal patch of one video."""

    repeats: int
    """How often the pattern follows itself."""
    parts: tuple[tuple[int, int], ...]
    """(count, length in patches) of the pattern's segments, in order."""


def attend_within(q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float, stretches: Sequence[Stretch]) -> Tensor:
    """Full attention inside each segment, [N, H, D] -> [N, H, D]; one SDPA call for each part of each stretch."""
    outputs, start = [], 0
    for repeats, parts in stretches:
        inside = sum(count * length for count, length in parts)
        whole = [x[start : start + repeats * inside].unflatten(0, (repeats, inside)) for x in (q_NHD, k_NHD, v_NHD)]
        done, offset = [], 0
        for count, length in parts:
            q, k, v = (
                x[:, offset : offset + count * length].unflatten(1, (count, length)).flatten(0, 1).transpose(1, 2)
                for x in whole
            )
            out = scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2)
            done.append(out.reshape(repeats, count * length, *out.shape[2:]))
            offset += count * length
        outputs.append(_joined(done, 1).flatten(0, 1))
        start += repeats * inside
    return _joined(outputs, 0)


def _joined(parts: Sequence[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim)
