"""Dynamic sampling with a fixed number of draws: of the groups drawn, those that have something to teach are kept."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def kept(weights: Sequence[Tensor], count: int) -> list[int]:
    """Indices, in the order drawn, of the first `count` groups with a row of positive weight (DAPO).

    Where there are too few, groups without weight fill up: every rank learns from `count` groups in every step.
    """
    useful = [index for index, weights_G in enumerate(weights) if bool((weights_G > 0).any())]
    useless = [index for index in range(len(weights)) if index not in set(useful)]
    return sorted([*useful, *useless][:count])
