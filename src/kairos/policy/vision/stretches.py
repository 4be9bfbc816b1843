"""Attention within segments: a temporal patch or a window sees itself, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention


class Stretch(NamedTuple):
    """`repeats` times the same run of segments, `parts` being how many of which length: ((count, length), ...)."""

    repeats: int
    parts: tuple[tuple[int, int], ...]

    @property
    def lengths(self) -> list[int]:
        return [length for count, length in self.parts for _ in range(count)] * self.repeats


def attend_within(q_HLD: Tensor, k_HLD: Tensor, v_HLD: Tensor, scale: float, stretches: Sequence[Stretch]) -> Tensor:
    """Full attention inside each segment, [H, L, D] -> [L, H, D]: all segments of one length in one call."""
    outputs, start = [], 0
    for repeats, parts in stretches:
        inside = sum(count * length for count, length in parts)
        whole = [x[:, start : start + repeats * inside].unflatten(1, (repeats, inside)) for x in (q_HLD, k_HLD, v_HLD)]
        done, offset = [], 0
        for count, length in parts:
            q, k, v = (
                x[:, :, offset : offset + count * length].unflatten(2, (count, length)).flatten(1, 2).transpose(0, 1)
                for x in whole
            )
            out = scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2)
            done.append(out.reshape(repeats, count * length, *out.shape[2:]))
            offset += count * length
        outputs.append(torch.cat(done, dim=1).flatten(0, 1))
        start += repeats * inside
    return torch.cat(outputs)


def cuts_of(stretches: Sequence[Stretch], device: torch.device) -> Tensor:
    """Where the segments begin and, last, end: int32 [segments + 1], as varlen attention takes it."""
    lengths = torch.tensor([length for stretch in stretches for length in stretch.lengths])
    return pad(lengths.cumsum(0), (1, 0)).to(torch.int32).to(device, non_blocking=True)


def longest(stretches: Sequence[Stretch]) -> int:
    """The most tokens that one segment has."""
    return max(length for stretch in stretches for _, length in stretch.parts)
