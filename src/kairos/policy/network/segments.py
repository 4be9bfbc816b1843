"""Where sequences lie among tokens packed end to end: the prompts, then the rows, those of one prompt together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise


@dataclass(frozen=True)
class Segments:
    """Lengths in tokens, in packed order. `group[r]` is the prompt of row r, and never falls. Rows may be empty."""

    prompts: tuple[int, ...]
    rows: tuple[int, ...] = ()
    group: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.group):
            raise ValueError(f"every row needs its prompt: {len(self.rows)} rows, {len(self.group)} prompts of rows")
        if min(self.prompts, default=1) < 1 or any(later < earlier for earlier, later in pairwise(self.group)):
            raise ValueError(f"prompts must hold tokens and rows be ordered by prompt, got {self}")

    @property
    def base(self) -> int:
        """The tokens of all prompts; the rows' tokens come behind them."""
        return sum(self.prompts)

    def __len__(self) -> int:
        return self.base + sum(self.rows)

    @property
    def own(self) -> tuple[int, ...]:
        """For each prompt the tokens of its rows together."""
        totals = [0] * len(self.prompts)
        for group, length in zip(self.group, self.rows, strict=True):
            totals[group] += length
        return tuple(totals)


def starts(lengths: Sequence[int], first: int = 0) -> list[int]:
    """Where each of consecutive stretches begins, and, last, where all end.

    >>> starts([3, 0, 2])
    [0, 3, 3, 5]
    """
    return list(accumulate(lengths, initial=first))
