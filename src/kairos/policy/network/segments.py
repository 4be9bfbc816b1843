"""Lengths and places of sequences packed end to end: all prompts, then all rows, grouped by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise


@dataclass(frozen=True)
class Segments:
    """Lengths of the packed sequences, in packed order."""

    prompts: tuple[int, ...]
    """Tokens of each prompt, at least 1."""
    rows: tuple[int, ...] = ()
    """Tokens of each row; may be 0."""
    group: tuple[int, ...] = ()
    """The prompt of each row, in ascending order."""

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.group):
            raise ValueError(f"every row needs its prompt: {len(self.rows)} rows, {len(self.group)} prompts of rows")
        if min(self.prompts, default=1) < 1 or any(later < earlier for earlier, later in pairwise(self.group)):
            raise ValueError(f"prompts must hold tokens and rows be ordered by prompt, got {self}")

    @property
    def base(self) -> int:
        """Tokens of all prompts together: where the first row begins."""
        return sum(self.prompts)

    def __len__(self) -> int:
        return self.base + sum(self.rows)

    @property
    def own(self) -> tuple[int, ...]:
        """For each prompt, the tokens of all its rows together."""
        totals = [0] * len(self.prompts)
        for group, length in zip(self.group, self.rows, strict=True):
            totals[group] += length
        return tuple(totals)


def starts(lengths: Sequence[int], first: int = 0) -> list[int]:
    """Where each of the consecutive sequences begins, and where the last one ends.

    >>> starts([3, 0, 2])
    [0, 3, 3, 5]
    """
    return list(accumulate(lengths, initial=first))
