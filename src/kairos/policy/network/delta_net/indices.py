"""Index tensors of packed sequences, cached because every layer asks for the same ones."""

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
    """Cumulative lengths: where each sequence begins, and where the last one ends. int64 [S + 1]."""
    return carried(torch.tensor(starts(lengths)), device)


@lru_cache(_CACHED)
@torch.inference_mode(False)
def padded(
    lengths: tuple[int, ...], device: torch.device
) -> tuple[tuple[tuple[Tensor, Tensor, Tensor], ...], Tensor, Tensor]:
    """Group non-empty sequences of similar length into padded batches: (batches, unpad_N, unsort_S).

    A batch is (its sequences [S], the indices of their tokens [S, L], which of these are no padding [S, L]). With the
    batches laid end to end, `unpad_N` is the index of each token, `unsort_S` that of each sequence.
    """
    length_S, start_S = torch.tensor(lengths), torch.tensor(starts(lengths)[:-1])
    batches, order, offset = [], [], 0
    unpad_N = torch.empty(sum(lengths), dtype=torch.long)
    for members in _similar(lengths):
        member_S = torch.tensor(members)
        steps_L = torch.arange(int(length_S[member_S].max()))
        valid_SL = steps_L < length_S[member_S, None]
        index_SL = torch.where(valid_SL, start_S[member_S, None] + steps_L, 0)
        unpad_N[index_SL[valid_SL]] = offset + valid_SL.flatten().nonzero().squeeze(1)
        offset += index_SL.numel()
        order += members
        batches.append((carried(member_S, device), carried(index_SL, device), carried(valid_SL, device)))
    unsort_S = torch.tensor(order, dtype=torch.long).argsort()
    return tuple(batches), carried(unpad_N, device), carried(unsort_S, device)


@lru_cache(_CACHED)
@torch.inference_mode(False)
def nonempty_rows(segments: Segments, device: torch.device) -> tuple[tuple[int, ...], Tensor]:
    """The lengths of the R rows that are not empty, and the prompt of each, int64 [R]."""
    rows = [(length, group) for length, group in zip(segments.rows, segments.group, strict=True) if length]
    prompts = torch.tensor([group for _, group in rows], dtype=torch.long)
    return tuple(length for length, _ in rows), carried(prompts, device)


class Edges(NamedTuple):
    """The M edge tokens, whose window of K tokens begins before their own prompt or row.

    A row's window reaches into its prompt. Where a window begins before the prompt, its entries are N. The E pairs are
    those of an edge token and a token in its window.
    """

    token_M: Tensor
    """The edge tokens (int64)."""
    window_MK: Tensor
    """The tokens in each edge token's window, itself last (int32)."""
    edge_N: Tensor
    """Each token's index among the edge tokens, -1 for others (int32)."""
    from_E: Tensor
    """The edge token of each pair (int64)."""
    tap_E: Tensor
    """The place in its window, below K (int64)."""
    to_E: Tensor
    """The token at that place (int64)."""


@lru_cache(_CACHED)
@torch.inference_mode(False)
def edges(segments: Segments, reach: int, device: torch.device) -> Edges:
    """The edge tokens for windows of `reach` tokens."""
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
def last_tokens(lengths: tuple[int, ...], reach: int, device: torch.device) -> Tensor:
    """The last `reach` tokens of each sequence, [S, reach]; shorter sequences are padded with N in front."""
    ends, total = starts(lengths)[1:], sum(lengths)
    rows = [
        [end + t if t >= -length else total for t in range(-reach, 0)]
        for end, length in zip(ends, lengths, strict=True)
    ]
    return carried(torch.tensor(rows), device)


def _similar(lengths: tuple[int, ...]) -> list[list[int]]:
    """Group sequences of similar length, so that padding adds at most about a quarter."""
    batches: list[list[int]] = []
    for s in sorted(range(len(lengths)), key=lambda s: lengths[s]):
        if batches and lengths[s] <= 1.25 * lengths[batches[-1][0]] + 16:
            batches[-1].append(s)
        else:
            batches.append([s])
    return batches
