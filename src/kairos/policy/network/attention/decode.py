"""Attention of one new token a row over its prompt and its own tokens: one kernel for parts of the keys, one to merge.

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

from kairos.policy.network.kernels.launch import launch, next_power_of_2

_PER_PROCESSOR = 1  # programs that look at prompts
_ROW_PART = 128  # of a row's own tokens that one program looks at
_TILE = 64  # queries
_MERGED = 4096  # numbers that one program joins at a time


class PromptKV(NamedTuple):
    """Keys and values of prompts end to end, contiguous."""

    keys_NHD: Tensor
    values_NHD: Tensor
    cuts: Tensor
    """int32 [P + 1]: where each prompt begins, and the last ends."""
    longest: int
    """The most tokens of one prompt."""


class RowKV(NamedTuple):
    """Keys and values of the rows' own tokens, contiguous, with room for C each."""

    keys_BCHD: Tensor
    values_BCHD: Tensor
    used_B: Tensor
    """int32, at least 1: how many of a row's C tokens count."""


def decode_attention(q_BHD: Tensor, prompt_kv: PromptKV, row_kv: RowKV, scale: float) -> Tensor:
    """[B, H, D] in the dtype of the values, no gradient; the rows of a prompt are next to one another.

    Only where `uses_triton`. On a GPU keys and values are bf16 or fp16.
    """
    from kairos.policy.network.kernels.triton import decode_attention as decode_kernels  # Triton is not everywhere

    q = q_BHD.to(prompt_kv.keys_NHD.dtype).contiguous()
    (rows, heads, width), (tokens, key_heads, _), prompts = q.shape, prompt_kv.keys_NHD.shape, len(prompt_kv.cuts) - 1
    group, repeat, room = rows // prompts, heads // key_heads, row_kv.keys_BCHD.shape[1]
    columns = max(16, next_power_of_2(width))
    block = 64 if columns <= 128 else 32
    tile = max(16, min(_TILE, next_power_of_2(group * repeat)))
    tiles = -(-group * repeat // tile)
    size = block * -(-tokens * key_heads * tiles // (block * _PER_PROCESSOR * _processors(q.device)))
    prompt_parts, row_parts = -(-prompt_kv.longest // size), -(-room // _ROW_PART)
    prompt_programs, parts = prompts * tiles * prompt_parts, prompt_parts + row_parts
    partial = q.new_empty((rows, heads, parts, width), dtype=torch.float32)
    lse, out = partial.new_empty((rows, heads, parts)), torch.empty_like(q, dtype=prompt_kv.values_NHD.dtype)
    launch(
        decode_kernels.decode_split, (key_heads * (prompt_programs + rows * row_parts),),
        q, prompt_kv.keys_NHD, prompt_kv.values_NHD, prompt_kv.cuts, *row_kv, partial, lse, scale * log2(e),
        prompt_programs, prompt_parts, size, row_parts, _ROW_PART, room,
        GROUP=group, REPEAT=repeat, KEY_HEADS=key_heads, WIDTH=width, TILES=tiles, TILE=tile,
        ROW_TILE=max(16, next_power_of_2(repeat)), COLUMNS=columns, BLOCK=block, num_warps=4, num_stages=2,
    )  # fmt: skip
    launch(
        decode_kernels.decode_join, (rows * heads,), partial, lse, out, parts,
        WIDTH=width, COLUMNS=columns, BLOCK=_MERGED // columns, num_warps=4,
    )  # fmt: skip
    return out


def decode_attention_plain(q_BHD: Tensor, prompt_kv: PromptKV, row_kv: RowKV, scale: float) -> Tensor:
    outs, group = [], len(q_BHD) // (len(prompt_kv.cuts) - 1)
    for row, (q_HD, used) in enumerate(zip(q_BHD.float(), row_kv.used_B.tolist(), strict=True)):
        begin, end = prompt_kv.cuts[row // group :][:2].tolist()
        k_LHD = torch.cat([prompt_kv.keys_NHD[begin:end], row_kv.keys_BCHD[row, :used]]).float()
        v_LHD = torch.cat([prompt_kv.values_NHD[begin:end], row_kv.values_BCHD[row, :used]]).float()
        p_HRL = (torch.einsum("hrd,lhd->hrl", q_HD.unflatten(0, (k_LHD.shape[1], -1)), k_LHD) * scale).softmax(-1)
        outs.append(torch.einsum("hrl,lhd->hrd", p_HRL, v_LHD).flatten(0, 1))
    return torch.stack(outs).to(prompt_kv.values_NHD.dtype)


@cache
def _processors(device: torch.device) -> int:
    """Multiprocessors of the GPU; as many as an H200 has where Triton interprets."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 132
