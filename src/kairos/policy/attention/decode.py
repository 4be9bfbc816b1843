"""Attention of one token a row over its prompt and its own tokens, in two kernels: every part at once, then all as one.

Flash decoding (Dao et al., 2023) with a group's rows as one tile, so that a prompt's keys are read once for all of them
(Hydragen, arXiv:2402.05099). The programs depend on shapes and lengths known when the prompts are: a CUDA graph can
replay them while the device counts a row's tokens.
"""

from __future__ import annotations

from functools import cache
from math import e, log2
from typing import NamedTuple

import torch
from torch import Tensor

from kairos.policy.kernels.launch import launch, next_power_of_2

_PER_PROCESSOR = 1  # programs that look at prompts
_OWN = 128  # of a row's own tokens that one program looks at
_TILE = 64  # queries
_JOINED = 4096  # numbers that one program joins at a time


class PromptKV(NamedTuple):
    """Prompts end to end: keys and values [N, Hkv, D], contiguous; cuts [P + 1] (int32); the most tokens of one."""

    keys_NHD: Tensor
    values_NHD: Tensor
    cuts: Tensor
    longest: int


class RowKV(NamedTuple):
    """Keys and values [B, C, Hkv, D], contiguous, of which a row's first `used_B` (int32, at least 1) count."""

    keys_BCHD: Tensor
    values_BCHD: Tensor
    used_B: Tensor


def decode_attention(q_BHD: Tensor, told: PromptKV, own: RowKV, scale: float) -> Tensor:
    """[B, H, D] in the dtype of the values, no gradient; the rows of a prompt are next to one another.

    Only where `fused.fast`. On a GPU keys and values are bf16 or fp16.
    """
    from kairos.policy.kernels.triton import decode_attention as decode_kernels  # Triton is not everywhere

    q = q_BHD.to(told.keys_NHD.dtype).contiguous()
    (rows, heads, width), (tokens, key_heads, _), prompts = q.shape, told.keys_NHD.shape, len(told.cuts) - 1
    group, repeat, room = rows // prompts, heads // key_heads, own.keys_BCHD.shape[1]
    columns = max(16, next_power_of_2(width))
    block = 64 if columns <= 128 else 32
    tile = max(16, min(_TILE, next_power_of_2(group * repeat)))
    tiles = -(-group * repeat // tile)
    size = block * -(-tokens * key_heads * tiles // (block * _PER_PROCESSOR * _processors(q.device)))
    told_parts, own_parts = -(-told.longest // size), -(-room // _OWN)
    asked, parts = prompts * tiles * told_parts, told_parts + own_parts
    partial = q.new_empty((rows, heads, parts, width), dtype=torch.float32)
    lse, out = partial.new_empty((rows, heads, parts)), torch.empty_like(q, dtype=told.values_NHD.dtype)
    launch(
        decode_kernels.decode_split, (key_heads * (asked + rows * own_parts),),
        q, told.keys_NHD, told.values_NHD, told.cuts, *own, partial, lse, scale * log2(e),
        asked, told_parts, size, own_parts, _OWN, room,
        GROUP=group, REPEAT=repeat, KEY_HEADS=key_heads, WIDTH=width, TILES=tiles, TILE=tile,
        OWN_TILE=max(16, next_power_of_2(repeat)), COLUMNS=columns, BLOCK=block, num_warps=4, num_stages=2,
    )  # fmt: skip
    launch(
        decode_kernels.decode_join, (rows * heads,), partial, lse, out, parts,
        WIDTH=width, COLUMNS=columns, BLOCK=_JOINED // columns, num_warps=4,
    )  # fmt: skip
    return out


def decode_attention_plain(q_BHD: Tensor, told: PromptKV, own: RowKV, scale: float) -> Tensor:
    outs, group = [], len(q_BHD) // (len(told.cuts) - 1)
    for row, (q_HD, used) in enumerate(zip(q_BHD.float(), own.used_B.tolist(), strict=True)):
        begin, end = told.cuts[row // group :][:2].tolist()
        k_LHD = torch.cat([told.keys_NHD[begin:end], own.keys_BCHD[row, :used]]).float()
        v_LHD = torch.cat([told.values_NHD[begin:end], own.values_BCHD[row, :used]]).float()
        p_HRL = (torch.einsum("hrd,lhd->hrl", q_HD.unflatten(0, (k_LHD.shape[1], -1)), k_LHD) * scale).softmax(-1)
        outs.append(torch.einsum("hrl,lhd->hrd", p_HRL, v_LHD).flatten(0, 1))
    return torch.stack(outs).to(told.values_NHD.dtype)


@cache
def _processors(device: torch.device) -> int:
    """An H200's where Triton interprets."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 132
