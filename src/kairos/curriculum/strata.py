"""A selector that matches a given joint distribution of span length and share of the clip."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from kairos.core.seeds import uniforms
from kairos.curriculum.measures import Measure
from kairos.curriculum.rewards import PromptRewards
from kairos.curriculum.subsampling import drawn, largest_remainder

TARGETS = (
    (0.1217, 0.0102, 0.0006, 0.0000, 0.0000),
    (0.1560, 0.1069, 0.0536, 0.0066, 0.0001),
    (0.0644, 0.0364, 0.0482, 0.0410, 0.0039),
    (0.0033, 0.0525, 0.0339, 0.0267, 0.0246),
    (0.0000, 0.0015, 0.0468, 0.0492, 0.1119),
)
"""The joint histogram of TimeLens-Bench, a *test* set, that TempSamp-R1's released converter aims at."""


@dataclass(frozen=True)
class LengthByCoverage:
    """`count` prompts whose annotated spans follow the joint histogram `targets`.

    Prompts per bin are rounded by largest remainder. An empty bin gives none, so fewer than `count` may be returned.
    """

    count: int
    targets: Sequence[Sequence[float]] = TARGETS
    """Shares of the prompts: one row for each bin of length, one column for each bin of coverage."""
    lengths: Sequence[float] = (2.0, 5.0, 10.0, 20.0)
    """Inner edges of the bins of length, in seconds; a value on an edge belongs to the upper bin."""
    coverages: Sequence[float] = (0.05, 0.1, 0.2, 0.4)
    """Inner edges of the bins of coverage, as shares of the clip."""
    repeat: bool = True
    """A bin with too few prompts repeats some of them; otherwise it gives those that it has."""
    seed: int = 1

    def __post_init__(self) -> None:
        shape = {len(row) for row in self.targets}
        if len(self.targets) != len(self.lengths) + 1 or shape != {len(self.coverages) + 1}:
            raise ValueError(
                f"targets must have {len(self.lengths) + 1} rows of {len(self.coverages) + 1}, got "
                f"{len(self.targets)} of {sorted(shape)}"
            )

    def __call__(self, rows: Sequence[PromptRewards]) -> list[PromptRewards]:
        """ValueError for a prompt without an annotated span or a duration."""
        width = len(self.coverages) + 1
        places = [self._place(row) for row in rows]
        wanted = largest_remainder([share for line in self.targets for share in line], self.count)
        times = [0] * len(rows)
        for number, want in enumerate(wanted):
            have = [i for i, (length, coverage) in enumerate(places) if length * width + coverage == number]
            for i in self._chosen(rows, have, want):
                times[i] += 1
        return [row for row, count in zip(rows, times, strict=True) for _ in range(count)]

    def measures(self, rows: Sequence[PromptRewards]) -> list[Measure]:
        lengths = tuple(row.length for row in rows)
        shares = tuple(row.length / row.duration if row.length and row.duration else None for row in rows)
        return [
            Measure("seconds of the annotated span", lengths, tuple(self.lengths)),
            Measure("span's share of the clip", shares, tuple(self.coverages)),
        ]

    def _chosen(self, rows: Sequence[PromptRewards], have: list[int], want: int) -> list[int]:
        index = {rows[i].uid: i for i in have}
        part = [rows[i] for i in have]
        once = [index[row.uid] for row in drawn(part, [1.0] * len(part), min(want, len(part)), self.seed)]
        if not have or not self.repeat or want <= len(have):
            return once
        more = uniforms(self.seed, "repeat", 1, want - len(have), first_row=min(have))[0].tolist()
        return once + [have[int(number * len(have))] for number in more]

    def _place(self, row: PromptRewards) -> tuple[int, int]:
        if row.length is None or not row.duration:
            raise ValueError(f"prompt {row.uid} has no annotated span, or no known duration: leave it out of the data")
        return bisect_right(self.lengths, row.length), bisect_right(self.coverages, row.length / row.duration)
