"""Selectors that keep a prompt by its own rewards: their range, spread, difficulty, or right and wrong answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kairos.curriculum.measures import Measure, Measuring, best_of, mean_of, right_of, spread_of
from kairos.curriculum.rewards import ACCURACY, PromptRewards, Selector


@dataclass(frozen=True)
class Range:
    """Keeps prompts with `low` < mean value <= `high` (Time-R1: 0 < tIoU <= 0.7)."""

    low: float = 0.0
    high: float = 0.7
    of: Sequence[str] = ACCURACY

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"a range needs low < high, got {self.low} and {self.high}")

    def __call__(self, rows: Sequence[PromptRewards]) -> list[PromptRewards]:
        return [row for row in rows if self.low < row.mean(self.of) <= self.high]

    def measures(self, rows: Sequence[PromptRewards]) -> list[Measure]:
        return [mean_of(rows, self.of, self.low, self.high)]


@dataclass(frozen=True)
class Mixed:
    """Keeps prompts with both right and wrong rollouts; a rollout is right if its value is at least `right`."""

    right: float = 0.5
    of: Sequence[str] = ACCURACY

    def __call__(self, rows: Sequence[PromptRewards]) -> list[PromptRewards]:
        return [row for row in rows if 0 < sum(v >= self.right for v in row.values(self.of)) < len(row.values(self.of))]

    def measures(self, rows: Sequence[PromptRewards]) -> list[Measure]:
        return [right_of(rows, self.of, self.right, 0.0, 1.0)]


@dataclass(frozen=True)
class Difficulty:
    """Keeps prompts whose difficulty, 1 - mean value, lies in [`low`, `high`].

    With `count` only so many of them, the hardest first.
    """

    low: float = 0.0
    high: float = 1.0
    count: int | None = None
    of: Sequence[str] = ACCURACY

    def __call__(self, rows: Sequence[PromptRewards]) -> list[PromptRewards]:
        kept = [row for row in rows if self.low <= 1.0 - row.mean(self.of) <= self.high]
        return kept if self.count is None else sorted(kept, key=lambda row: row.mean(self.of))[: self.count]

    def measures(self, rows: Sequence[PromptRewards]) -> list[Measure]:
        found = mean_of(rows, self.of)
        easy = [value for value in found.values if value is not None]
        return [Measure(f"difficulty, 1 - {found.label}", tuple(1.0 - value for value in easy), (self.low, self.high))]


@dataclass(frozen=True)
class Variance:
    """Keeps prompts whose values have a standard deviation of at least `least`.

    With `count` only so many of them, the widest first, ties in the order of the rows.
    """

    least: float = 0.05
    count: int | None = None
    of: Sequence[str] = ACCURACY

    def __call__(self, rows: Sequence[PromptRewards]) -> list[PromptRewards]:
        kept = [row for row in rows if row.spread(self.of) >= self.least]
        return kept if self.count is None else sorted(kept, key=lambda row: -row.spread(self.of))[: self.count]

    def measures(self, rows: Sequence[PromptRewards]) -> list[Measure]:
        return [spread_of(rows, self.of, self.least)]


@dataclass(frozen=True)
class VarianceAware:
    """Keeps prompts that are neither always right nor always wrong (Temporal-R1's data selection).

    A discrete term (a choice) needs right and wrong rollouts. A continuous term (a span) needs a standard deviation of
    at least `least` and a best rollout of at least `good`. A prompt with both terms must pass both. The paper gives no
    thresholds.
    """

    least: float = 0.1
    good: float = 0.5
    discrete: Sequence[str] = ("choice",)
    continuous: Sequence[str] = ("tiou", "iou", "highlights")

    def __call__(self, rows: Sequence[PromptRewards]) -> list[PromptRewards]:
        return [row for row in rows if self._teaches(row)]

    def measures(self, rows: Sequence[PromptRewards]) -> list[Measure]:
        found = [
            right_of(rows, self.discrete, Mixed().right, 0.0, 1.0), spread_of(rows, self.continuous, self.least),
            best_of(rows, self.continuous, self.good),
        ]  # fmt: skip
        return [measure for measure in found if any(value is not None for value in measure.values)]

    def _teaches(self, row: PromptRewards) -> bool:
        verdicts = []
        if any(name in row.terms for name in self.discrete):
            verdicts.append(bool(Mixed(of=self.discrete)([row])))
        if any(name in row.terms for name in self.continuous):
            best = max(row.values(self.continuous))
            verdicts.append(row.spread(self.continuous) >= self.least and best >= self.good)
        if not verdicts:
            row.values([*self.discrete, *self.continuous])
        return all(verdicts)


@dataclass(frozen=True)
class Chain:
    """Applies selectors one after another, in the mapping's order; None removes one that a configuration inherits."""

    steps: Mapping[str, Selector | None]

    def __call__(self, rows: Sequence[PromptRewards]) -> list[PromptRewards]:
        kept = list(rows)
        for step in self.steps.values():
            kept = kept if step is None else step(kept)
        return kept

    def measures(self, rows: Sequence[PromptRewards]) -> list[Measure]:
        """Those of its steps, each over all prompts; a number that several steps ask for has the bounds of all."""
        found: dict[str, Measure] = {}
        for step in self.steps.values():
            for one in step.measures(rows) if isinstance(step, Measuring) else ():
                before = found[one.label].bounds if one.label in found else ()
                found[one.label] = replace(one, bounds=tuple(dict.fromkeys((*before, *one.bounds))))
        return list(found.values())
