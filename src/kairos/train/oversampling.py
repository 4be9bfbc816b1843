"""Dynamic sampling with a fixed number of draws: keeps groups of positive weight out of more than are needed (DAPO)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def kept(weights: Sequence[Tensor], count: int) -> list[int]:
    """Indices, in order, of the first `count` groups that have a row of positive weight.

    If there are too few, groups of weight 0 fill up, so that every rank learns from `count` groups in every step.
    """
    useful = [index for index, weights_G in enumerate(weights) if bool((weights_G > 0).any())]
    useless = [index for index in range(len(weights)) if index not in set(useful)]
    return sorted([*useful, *useless][:count])
