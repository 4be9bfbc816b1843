"""Packs prompts and their completions end to end, each prompt once: [prompt 0 | prompt 1 | ... | rows of 0 | ...].

A completion sees its prompt and itself, nothing else; that is all that sharing a prompt means. The last token of a row
predicts nothing, so it is not fed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.core.types import Layout
from kairos.policy.attention import attention, pick

_BUCKET_ELEMENTS = 2**26


@dataclass(frozen=True)
class Bucket:
    """Prompts of similar length, padded: indices of their tokens, of their rows' tokens, and who sees whom."""

    prompt_PL: Tensor
    rows_PQ: Tensor | None
    mask_P1QK: Tensor | None

    def to(self, device: torch.device) -> Bucket:
        rows, mask = (None if x is None else x.to(device) for x in (self.rows_PQ, self.mask_P1QK))
        return Bucket(self.prompt_PL.to(device), rows, mask)


@dataclass(frozen=True)
class Packed:
    """N tokens end to end. `ids_N`, `positions_3N`; which of them predict the actions; the buckets to attend in.

    `predictor_M` indexes the packed tokens, `row_M` and `column_M` say which action of the batch each predicts.
    """

    ids_N: Tensor
    positions_3N: Tensor
    predictor_M: Tensor
    row_M: Tensor
    column_M: Tensor
    buckets: tuple[Bucket, ...]
    home_N: Tensor

    def to(self, device: torch.device) -> Packed:
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return Packed(**moved, buckets=tuple(bucket.to(device) for bucket in self.buckets))

    def attend(self, layer: int, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float) -> Tensor:
        """Prompts causally, rows over their prompt and themselves."""
        del layer
        outputs = []
        for bucket in self.buckets:
            q, k, v = (pick(x, bucket.prompt_PL) for x in (q_NHD, k_NHD, v_NHD))
            outputs.append(attention(q, k, v, scale).transpose(1, 2).flatten(0, 1))
            if bucket.rows_PQ is not None:
                own = (pick(x, bucket.rows_PQ) for x in (k_NHD, v_NHD))
                k, v = (torch.cat(pair, dim=2) for pair in zip((k, v), own, strict=True))
                q = pick(q_NHD, bucket.rows_PQ)
                outputs.append(attention(q, k, v, scale, bucket.mask_P1QK).transpose(1, 2).flatten(0, 1))
        return torch.cat(outputs).index_select(0, self.home_N)


def pack(layouts: Sequence[Layout], group_of_B: Tensor, actions_BA: Tensor, mask_BA: Tensor) -> Packed:
    """Indices on the CPU. Rows may belong to any group, in any order; a row ends at its last counting action."""
    group_of_B, actions_BA, mask_BA = group_of_B.cpu(), actions_BA.cpu(), mask_BA.cpu() > 0
    rows, width = mask_BA.shape
    columns_A = torch.arange(width)
    length_B = ((columns_A + 1) * mask_BA).amax(1) if width else torch.zeros(rows, dtype=torch.long)
    fed_B = (length_B - 1).clamp(min=0)

    prompt_P = torch.tensor([len(layout) for layout in layouts])
    start_P = prompt_P.cumsum(0) - prompt_P
    base = int(prompt_P.sum())
    order = torch.argsort(group_of_B, stable=True)
    start_B = torch.empty(rows, dtype=torch.long)
    start_B[order] = base + fed_B[order].cumsum(0) - fed_B[order]
    own_P = torch.zeros_like(prompt_P).index_add_(0, group_of_B, fed_B)
    own_start_P = base + own_P.cumsum(0) - own_P

    row_N = order.repeat_interleave(fed_B[order])
    column_N = base + torch.arange(len(row_N)) - start_B[row_N]
    next_P = torch.stack([layout.positions_3L.max() + 1 for layout in layouts])
    after_N = next_P[group_of_B[row_N]] + column_N
    positions = [*(layout.positions_3L for layout in layouts), after_N.expand(3, -1)]

    row_M, column_M = (mask_BA & (columns_A < length_B[:, None])).nonzero(as_tuple=True)
    last_P = start_P + prompt_P - 1
    predictor_M = torch.where(column_M == 0, last_P[group_of_B[row_M]], start_B[row_M] + column_M - 1)

    spans = torch.stack([start_P, prompt_P, own_start_P, own_P], dim=1)
    buckets, homes, offset = [], torch.empty(base + len(row_N), dtype=torch.long), 0
    for members in _bucketed(prompt_P.tolist(), own_P.tolist()):
        begin, length, own_begin, own = spans[members].unbind(1)
        prompt_PL, valid_PL = _ranges(begin, length, begin)
        offset += _settle(homes, prompt_PL, valid_PL, offset)
        rows_PQ = mask = None
        if int(own.max()):
            rows_PQ, valid_PQ = _ranges(own_begin, own, begin)
            offset += _settle(homes, rows_PQ, valid_PQ, offset)
            row_PQ = torch.where(valid_PQ, row_N[(rows_PQ - base).clamp(min=0)], -1)
            causal = torch.ones(rows_PQ.shape[1], rows_PQ.shape[1], dtype=torch.bool).tril()
            itself = (row_PQ[:, :, None] == row_PQ[:, None, :]) & causal & valid_PQ[:, None, :]
            prompt = valid_PL[:, None, :].expand(-1, rows_PQ.shape[1], -1)
            mask = torch.cat([prompt, itself], dim=2)[:, None]
        buckets.append(Bucket(prompt_PL, rows_PQ, mask))
    return Packed(
        ids_N=torch.cat([*(layout.ids_L for layout in layouts), actions_BA[row_N, column_N]]),
        positions_3N=torch.cat(positions, dim=1),
        predictor_M=predictor_M,
        row_M=row_M,
        column_M=column_M,
        buckets=tuple(buckets),
        home_N=homes,
    )


def _ranges(start_P: Tensor, length_P: Tensor, spare_P: Tensor) -> tuple[Tensor, Tensor]:
    """Consecutive indices from each start, padded with `spare_P`, and which of them are no padding."""
    steps = torch.arange(int(length_P.max()))
    valid = steps < length_P[:, None]
    return torch.where(valid, start_P[:, None] + steps, spare_P[:, None]), valid


def _settle(homes: Tensor, index_PL: Tensor, valid_PL: Tensor, offset: int) -> int:
    """Note where each token's output will lie among the padded outputs; returns how many there are."""
    homes[index_PL[valid_PL]] = offset + valid_PL.reshape(-1).nonzero().squeeze(1)
    return index_PL.numel()


def _bucketed(prompts: Sequence[int], own: Sequence[int]) -> list[list[int]]:
    """Prompts by length, cut where padding would waste more than a quarter or the mask would grow too large."""
    buckets: list[list[int]] = []
    longest = 0
    for p in sorted(range(len(prompts)), key=lambda p: (prompts[p], own[p])):
        if buckets:
            members = [*buckets[-1], p]
            longest_own = max(longest, own[p])
            fits = len(members) * longest_own * (prompts[p] + longest_own) <= _BUCKET_ELEMENTS
            if fits and prompts[p] <= 1.25 * prompts[members[0]] + 16:
                buckets[-1], longest = members, longest_own
                continue
        buckets.append([p])
        longest = own[p]
    return buckets
