"""Collates groups of rollouts into one padded batch of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from kairos.core.types import RolloutBatch, RolloutGroup


def collate(
    groups: Sequence[RolloutGroup],
    advantages: Sequence[Tensor],
    weights: Sequence[Tensor],
    encode: Callable[[str], Tensor],
    temperature: float,
) -> RolloutBatch:
    """Rows in group order, padded on the right to the longest: [B, A].

    `advantages` and `weights` hold one [G] tensor for each group. Rows that an injection or an annotation wrote are
    encoded here, without the sampling limit. A batch has at least one position, masked in rows without actions. Rows
    that the policy did not sample are NaN in `behavior_logprobs_BA`.
    """
    rows = [rollout for group in groups for rollout in group.rollouts]
    actions = [encode(row.text) if row.actions_A is None else row.actions_A for row in rows]
    width = max(1, max(len(a) for a in actions))
    lengths = torch.tensor([len(a) for a in actions])
    sampled = any(row.behavior_logprobs_A is not None for row in rows)
    ahead = any(row.staleness is not None for row in rows)
    return RolloutBatch(
        prompts=tuple(group.prompt for group in groups),
        group_of_B=torch.repeat_interleave(torch.arange(len(groups)), torch.tensor([len(g) for g in groups])),
        actions_BA=_pad([a.to("cpu", torch.long) for a in actions], width, 0),
        mask_BA=(torch.arange(width)[None, :] < lengths[:, None]).float(),
        origin_B=torch.tensor([int(row.origin) for row in rows]),
        advantages_B=torch.cat([a.float() for a in advantages]),
        weights_B=torch.cat([w.float() for w in weights]),
        temperature=temperature,
        behavior_logprobs_BA=_pad(
            [
                torch.full((len(a),), float("nan"))
                if row.behavior_logprobs_A is None
                else row.behavior_logprobs_A.to("cpu", torch.float32)
                for row, a in zip(rows, actions, strict=True)
            ],
            width,
            0.0,
        )
        if sampled
        else None,
        staleness_B=torch.tensor([row.staleness or 0 for row in rows]) if ahead else None,
    )


def _pad(rows: Sequence[Tensor], width: int, value: float) -> Tensor:
    padded = rows[0].new_full((len(rows), width), value)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return padded
