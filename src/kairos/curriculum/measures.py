"""What a selector's rule looks at: a number of each prompt and the bounds that it compares with, for pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from kairos.curriculum.rewards import TOTAL, PromptRewards, Selector


@dataclass(frozen=True)
class Measure:
    """One number of each prompt."""

    label: str
    """What it is, with the terms that were read: "mean of iou"."""
    values: tuple[float | None, ...]
    """In the order of the prompts; None where the rule does not ask for it."""
    bounds: tuple[float, ...] = ()
    """What the rule compares it with."""


@runtime_checkable
class Measuring(Protocol):
    """A selector that can show what it goes by."""

    def measures(self, rows: Sequence[PromptRewards]) -> list[Measure]:
        """The measures of its rule, in the order in which it asks for them."""
        ...


def measures_of(selector: Selector, rows: Sequence[PromptRewards]) -> list[Measure]:
    """The selector's own; of one that does not say, mean and spread of the whole reward."""
    if isinstance(selector, Measuring):
        return selector.measures(rows)
    return [mean_of(rows, [TOTAL]), spread_of(rows, [TOTAL])]


def mean_of(rows: Sequence[PromptRewards], of: Sequence[str], *bounds: float) -> Measure:
    return Measure(f"mean of {_read(rows, of)}", tuple(row.mean(of) for row in rows), bounds)


def spread_of(rows: Sequence[PromptRewards], of: Sequence[str], *bounds: float) -> Measure:
    return Measure(f"standard deviation of {_read(rows, of)}", _where(rows, of, lambda row: row.spread(of)), bounds)


def best_of(rows: Sequence[PromptRewards], of: Sequence[str], *bounds: float) -> Measure:
    return Measure(f"best {_read(rows, of)}", _where(rows, of, lambda row: max(row.values(of))), bounds)


def right_of(rows: Sequence[PromptRewards], of: Sequence[str], right: float, *bounds: float) -> Measure:
    """The share of rollouts whose value is at least `right`."""

    def share(row: PromptRewards) -> float:
        values = row.values(of)
        return sum(value >= right for value in values) / len(values)

    return Measure(f"share of rollouts with {_read(rows, of)} >= {right:g}", _where(rows, of, share), bounds)


def _where(
    rows: Sequence[PromptRewards], of: Sequence[str], value: Callable[[PromptRewards], float]
) -> tuple[float | None, ...]:
    return tuple(value(row) if any(row.has(name) for name in of) else None for row in rows)


def _read(rows: Sequence[PromptRewards], of: Sequence[str]) -> str:
    """The terms that are read: of each row the first that it has."""
    first = (next((name for name in of if row.has(name)), None) for row in rows)
    return " or ".join(dict.fromkeys(name for name in first if name is not None)) or " or ".join(of)
