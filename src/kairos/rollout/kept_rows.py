"""Rollouts as plain numbers and text, for a checkpoint, and back: nothing is rounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kairos.core.types import Origin, Rollout

Plain = Mapping[str, object]
"""One rollout: its fields by name, tensors as lists."""
_TENSORS = {
    "actions_A": torch.long,
    "behavior_logprobs_A": torch.float32,
    "chosen_K": torch.long,
    "option_probs_O": torch.float32,
}


def written_rows(rollouts: Sequence[Rollout]) -> list[Plain]:
    """
    >>> row = Rollout("a", torch.tensor([1, 2]), torch.tensor([-0.1, -0.2]))
    >>> written_rows([row])[0]["actions_A"]
    [1, 2]
    """
    return [
        {
            "text": row.text,
            "origin": int(row.origin),
            "truncated": row.truncated,
            **{name: _list(getattr(row, name)) for name in _TENSORS},
        }
        for row in rollouts
    ]


def read_rows(rows: Sequence[Plain]) -> tuple[Rollout, ...]:
    """What `written_rows` wrote."""
    return tuple(
        Rollout(
            text=str(row["text"]),
            origin=Origin(int(str(row["origin"]))),
            truncated=bool(row["truncated"]),
            **{name: _tensor(row[name], dtype) for name, dtype in _TENSORS.items()},  # pyright: ignore[reportArgumentType]
        )
        for row in rows
    )


def _list(tensor: Tensor | None) -> list[float] | None:
    return None if tensor is None else tensor.tolist()


def _tensor(values: object, dtype: torch.dtype) -> Tensor | None:
    return None if values is None else torch.tensor(values, dtype=dtype)
