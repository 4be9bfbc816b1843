"""Decode attention: one new token a row attends to its prompt and to the row's own tokens.

One kernel attends to parts of the keys, another merges the parts (flash decoding, Dao et al., 2023). A group's rows are
one tile of queries, so that a prompt's keys are read once for all of them (Hydragen, arXiv:2402.05099). The launch grid
depends on shapes and on the prompts' lengths; a row's length is read on the device: a CUDA graph can replay both.
"""

from __future__ import annotations

from functools import cache
from math import e, log2
from typing import NamedTuple

import torch
from torch import Tensor

from kairos.policy.network.kernels.launch import launch, next_power_of_2

_PER_PROCESSOR = 1  # programs that attend to prompts
_ROW_PART = 128  # of a row's own tokens, which one program attends to
_TILE = 64  # queries of one program
_MERGED = 4096  # numbers that one program merges at a time


class PromptKV(NamedTuple):
    """Keys and values of P prompts packed end to end."""

    keys_NHD: Tensor
    """Contiguous."""
    values_NHD: Tensor
    """Contiguous."""
    cuts: Tensor
    """int32 [P + 1]: where each prompt begins, and where the last one ends."""
    longest: int
    """Tokens of the longest prompt."""


class RowKV(NamedTuple):
    """Keys and values of the rows' own tokens, at most C a row."""

    keys_BCHD: Tensor
    """Contiguous."""
    values_BCHD: Tensor
    """Contiguous."""
    used_B: Tensor
    """int32, at least 1: how many of the C places a row has filled."""


def decode_attention(q_BHD: Tensor, prompt_kv: PromptKV, row_kv: RowKV, scale: float) -> Tensor:
    """Attention of one token a row over its prompt and its own tokens -> [B, H, D] in the dtype of the values.

    A prompt's rows are adjacent. Call it only where `uses_triton`; on a GPU keys and values are bf16 or fp16. No
    gradient.
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
    """Multiprocessors of the GPU; those of an H200 where Triton interprets on a CPU."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 132
