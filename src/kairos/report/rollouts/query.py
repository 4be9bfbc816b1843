"""Queries on rollouts: a condition, a field to sort by, and a limit."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from kairos.report.rollouts.lines import Iterations
from kairos.report.rollouts.row_fields import ConditionError, Field, Row, fields_of
from kairos.report.rollouts.where import Condition


@dataclass(frozen=True)
class Order:
    """Sorts by a number of each row, stably; rows without it come last."""

    field: Field
    descending: bool = False

    def __call__(self, row: Row) -> tuple[bool, float]:
        value = self.field(row)
        if value is not None and not isinstance(value, int | float):
            raise ConditionError(f"{self.field.asked}: this is no number, but {str(value)[:60]!r}")
        if value is None or value != value:  # NaN
            return True, 0.0
        return False, -value if self.descending else value


@dataclass(frozen=True)
class Query:
    """Selects the rows for which `where` holds, all or the first `limit`. Sorting mixes the rows of different groups.

    Without sorting rows are passed on as they are read; sorting keeps the selected rows in memory, at most `limit`.
    ConditionError for a field that no row has.
    """

    where: Condition | None = None
    order: Order | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and not (isinstance(self.limit, int) and self.limit >= 1):
            raise ValueError(f"limit must be >= 1 rollout, or null for all, got {self.limit!r}")

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        wanted = self._wanted(rows)
        if self.order is None:
            return islice(wanted, self.limit)
        if self.limit is None:
            return iter(sorted(wanted, key=self.order))
        return iter(heapq.nsmallest(self.limit, wanted, key=self.order))

    def _wanted(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows that fit. A field must be in the first row; a nested one (terms differ by task) in any row."""
        asked = [*(self.where.fields if self.where else ()), *([self.order.field] if self.order else ())]
        missing, fields = asked, dict[str, None]()
        for row in rows:
            if missing:
                for field in asked if not fields else ():
                    if field.path[0] not in row:
                        raise field.unknown(fields_of(row))
                fields |= dict.fromkeys(fields_of(row))
                missing = [field for field in missing if field.name not in fields]
            if self.where is None or self.where(row):
                yield row
        if missing and fields:
            raise missing[0].unknown(list(fields))


def order_by(text: str) -> Order:
    """`advantage`, `-advantage` for the largest first, `terms.iou` for one level down."""
    name = text.strip().removeprefix("-")
    if not all(name.split(".")) or len(name.split(".")) > 2:
        raise ConditionError(f"sort must be a field such as advantage, -advantage or terms.iou, got {text!r}")
    return Order(Field(tuple(name.split(".")), f"sort={text!r}"), text.strip().startswith("-"))


def iterations_of(text: str) -> Iterations:
    """A number, or a range such as 10:20, 10: or :20, ends included."""
    low, colon, high = text.strip().partition(":")
    if not all(end.isdecimal() for end in (low, high) if end) or not (low or high):
        raise ValueError(f"iteration must be a number, a range such as 10:20, 10: or :20, last or null, got {text!r}")
    ends = float(low or "-inf"), float(high or ("inf" if colon else low))
    if ends[0] > ends[1]:
        raise ValueError(f"iteration={text} is an empty range: its first end must not be above its second")
    return Iterations(*ends)
