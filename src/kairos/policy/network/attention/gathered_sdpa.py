"""Attention over packed tokens through torch's SDPA, on padded batches: the path of a CPU and the twin of `varlen`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.policy.network.attention.padded import attention, pick
from kairos.policy.network.kernels.dispatch import Choice, Machine
from kairos.policy.network.segments import Segments, starts

_BUCKET_ELEMENTS = 2**26  # of a bucket's mask at most


@dataclass(frozen=True)
class Bucket:
    """P prompts of similar length as one padded batch, and the tokens of their rows."""

    prompt_PL: Tensor
    """Indices of the prompts' tokens among the packed ones."""
    rows_PQ: Tensor | None
    """Indices of the tokens of each prompt's rows; None where no prompt has any."""
    mask_P1QK: Tensor | None
    """Whether each of the Q row tokens attends to each of the K = L + Q keys, those of the prompt first."""

    def to(self, device: torch.device) -> Bucket:
        rows, mask = (None if x is None else x.to(device) for x in (self.rows_PQ, self.mask_P1QK))
        return Bucket(self.prompt_PL.to(device), rows, mask)


@dataclass(frozen=True)
class GatheredPlan:
    """`(q_NHD, k_NHD, v_NHD, scale) -> [N, H, D]`: prompts causally, rows over their prompt and themselves."""

    buckets: tuple[Bucket, ...]
    """Together they hold every token once."""
    unpad_N: Tensor
    """Each token's index among the padded outputs of all buckets, laid end to end."""

    def __call__(self, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, scale: float) -> Tensor:
        outputs = []
        for bucket in self.buckets:
            q, k, v = (pick(x, bucket.prompt_PL) for x in (q_NHD, k_NHD, v_NHD))
            outputs.append(attention(q, k, v, scale).transpose(1, 2).flatten(0, 1))
            if bucket.rows_PQ is not None:
                own = (pick(x, bucket.rows_PQ) for x in (k_NHD, v_NHD))
                k, v = (torch.cat(pair, dim=2) for pair in zip((k, v), own, strict=True))
                q = pick(q_NHD, bucket.rows_PQ)
                outputs.append(attention(q, k, v, scale, bucket.mask_P1QK).transpose(1, 2).flatten(0, 1))
        return torch.cat(outputs).index_select(0, self.unpad_N)


@dataclass(frozen=True)
class Gathered:
    """`plan(segments, device) -> GatheredPlan`, for any device and dtype. Row tokens take a mask over their keys."""

    def plan(self, segments: Segments, device: torch.device) -> GatheredPlan:
        prompt_P, own_P = torch.tensor(segments.prompts), torch.tensor(segments.own)
        base = segments.base
        spans = torch.stack(
            [
                torch.tensor(starts(segments.prompts)[:-1]),
                prompt_P,
                torch.tensor(starts(segments.own, base)[:-1]),
                own_P,
            ],
            dim=1,
        )
        row_N = torch.arange(len(segments.rows)).repeat_interleave(torch.tensor(segments.rows, dtype=torch.long))
        buckets, unpad_N, offset = [], torch.empty(len(segments), dtype=torch.long), 0
        for members in _bucketed(segments.prompts, segments.own):
            begin, length, own_begin, own = spans[members].unbind(1)
            prompt_PL, valid_PL = _ranges(begin, length, begin)
            offset += _record_places(unpad_N, prompt_PL, valid_PL, offset)
            rows_PQ = mask = None
            if int(own.max()):
                rows_PQ, valid_PQ = _ranges(own_begin, own, begin)
                offset += _record_places(unpad_N, rows_PQ, valid_PQ, offset)
                row_PQ = torch.where(valid_PQ, row_N[(rows_PQ - base).clamp(min=0)], -1)
                causal = torch.ones(rows_PQ.shape[1], rows_PQ.shape[1], dtype=torch.bool).tril()
                itself = (row_PQ[:, :, None] == row_PQ[:, None, :]) & causal & valid_PQ[:, None, :]
                prompt = valid_PL[:, None, :].expand(-1, rows_PQ.shape[1], -1)
                mask = torch.cat([prompt, itself], dim=2)[:, None]
            buckets.append(Bucket(prompt_PL, rows_PQ, mask).to(device))
        return GatheredPlan(tuple(buckets), unpad_N.to(device))

    def choice(self, machine: Machine) -> Choice:
        del machine
        return Choice("SDPA", "asked for: tokens are gathered into padded batches")

    def lacking(self, machine: Machine) -> str | None:
        del machine
        return None


def _ranges(start_P: Tensor, length_P: Tensor, spare_P: Tensor) -> tuple[Tensor, Tensor]:
    """Consecutive indices from each start, padded with `spare_P`, and which of them are valid: both [P, longest]."""
    steps = torch.arange(int(length_P.max()))
    valid = steps < length_P[:, None]
    return torch.where(valid, start_P[:, None] + steps, spare_P[:, None]), valid


def _record_places(unpad_N: Tensor, index_PL: Tensor, valid_PL: Tensor, offset: int) -> int:
    """Write each valid token's index among the padded outputs into `unpad_N`; returns the number of padded outputs."""
    unpad_N[index_PL[valid_PL]] = offset + valid_PL.reshape(-1).nonzero().squeeze(1)
    return index_PL.numel()


def _bucketed(prompts: Sequence[int], own: Sequence[int]) -> list[list[int]]:
    """Group prompts of similar length: padding adds at most about a quarter, and a mask stays below a limit."""
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
