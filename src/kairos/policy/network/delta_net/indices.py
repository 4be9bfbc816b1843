"""Index tensors of sequences packed end to end; cached, since every layer asks for the same."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from kairos.core.carry import carried
from kairos.policy.network.segments import Segments, starts

_CACHED = 16


@lru_cache(_CACHED)
@torch.inference_mode(False)
def cuts(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """Where each sequence begins, and where the last ends, int64 [S + 1]."""
    return carried(torch.tensor(starts(lengths)), device)


@lru_cache(_CACHED)
@torch.inference_mode(False)
def padded(
    lengths: tuple[int, ...], device: torch.device
) -> tuple[tuple[tuple[Tensor, Tensor, Tensor], ...], Tensor, Tensor]:
    """Batches of sequences of similar length, none empty, and the way back.

    Of each batch which sequences it holds [S], where their tokens lie [S, L], and which of those are no padding
    [S, L]; then, among all batches' padded tokens the place of each token [N], and of each sequence [S].
    """
    length_S, start_S = torch.tensor(lengths), torch.tensor(starts(lengths)[:-1])
    batches, order, offset = [], [], 0
    home_N = torch.empty(sum(lengths), dtype=torch.long)
    for members in _similar(lengths):
        member_S = torch.tensor(members)
        steps_L = torch.arange(int(length_S[member_S].max()))
        valid_SL = steps_L < length_S[member_S, None]
        index_SL = torch.where(valid_SL, start_S[member_S, None] + steps_L, 0)
        home_N[index_SL[valid_SL]] = offset + valid_SL.flatten().nonzero().squeeze(1)
        offset += index_SL.numel()
        order += members
        batches.append((carried(member_S, device), carried(index_SL, device), carried(valid_SL, device)))
    home_S = torch.tensor(order, dtype=torch.long).argsort()
    return tuple(batches), carried(home_N, device), carried(home_S, device)


@lru_cache(_CACHED)
@torch.inference_mode(False)
def begun(segments: Segments, device: torch.device) -> tuple[tuple[int, ...], Tensor]:
    """The lengths of the rows that are not empty, and the prompt of each [R]."""
    rows = [(length, group) for length, group in zip(segments.rows, segments.group, strict=True) if length]
    prompts = torch.tensor([group for _, group in rows], dtype=torch.long)
    return tuple(length for length, _ in rows), carried(prompts, device)


class Edges(NamedTuple):
    """The M tokens whose window, their last K tokens, reaches back beyond the start of their own prompt or row.

    A row's past is its prompt. Before a prompt there is nothing, which is written as token N.
    """

    token_M: Tensor
    """Which tokens they are."""
    window_MK: Tensor
    """The tokens of each window (int32)."""
    edge_N: Tensor
    """For every token its place among the M, or -1 (int32)."""
    from_E: Tensor
    """For every pair of one of the M and a token in its window: the one of the M,"""
    tap_E: Tensor
    """the place in the window, of K,"""
    to_E: Tensor
    """and the token at that place."""


@lru_cache(_CACHED)
@torch.inference_mode(False)
def edges(segments: Segments, reach: int, device: torch.device) -> Edges:
    """Of windows of `reach` tokens."""
    prompt_start, row_start = starts(segments.prompts), starts(segments.rows, segments.base)
    sequences = [(start, length, 0, 0) for start, length in zip(prompt_start, segments.prompts, strict=False)]
    sequences += [
        (start, length, prompt_start[group + 1], segments.prompts[group])
        for start, length, group in zip(row_start, segments.rows, segments.group, strict=False)
    ]
    edge, window = [], []
    for start, length, past_end, past in sequences:
        for step in range(min(length, reach - 1)):
            behind = range(step - reach + 1, step + 1)
            edge.append(start + step)
            window.append([start + t if t >= 0 else past_end + t if t >= -past else len(segments) for t in behind])
    token_M, window_MK = torch.tensor(edge, dtype=torch.long), torch.tensor(window, dtype=torch.long).view(-1, reach)
    edge_N = torch.full((len(segments),), -1, dtype=torch.int32)
    edge_N[token_M] = torch.arange(len(token_M), dtype=torch.int32)
    pair_E, tap_E = (window_MK < len(segments)).nonzero(as_tuple=True)
    found = token_M, window_MK.int(), edge_N, token_M[pair_E], tap_E, window_MK[pair_E, tap_E]
    return Edges(*(carried(x, device) for x in found))


@lru_cache(_CACHED)
@torch.inference_mode(False)
def tails(lengths: tuple[int, ...], reach: int, device: torch.device) -> Tensor:
    """The last `reach` tokens of each sequence, [S, reach]; where it has fewer, token N stands before them."""
    ends, total = starts(lengths)[1:], sum(lengths)
    rows = [
        [end + t if t >= -length else total for t in range(-reach, 0)]
        for end, length in zip(ends, lengths, strict=True)
    ]
    return carried(torch.tensor(rows), device)


def _similar(lengths: tuple[int, ...]) -> list[list[int]]:
    """Sequences by length, cut where padding would be more than a quarter."""
    batches: list[list[int]] = []
    for s in sorted(range(len(lengths)), key=lambda s: lengths[s]):
        if batches and lengths[s] <= 1.25 * lengths[batches[-1][0]] + 16:
            batches[-1].append(s)
        else:
            batches.append([s])
    return batches
