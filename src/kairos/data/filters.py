"""Filters records by duration, length and coverage of the annotated spans, and difficulty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

from kairos.core.spans import union
from kairos.data.records import Record

Range = Sequence[float | None]  # [low, high], ends included; None is open


@dataclass(frozen=True)
class Keep:
    """Keeps records whose values lie in all given ranges (None: any). A record that lacks a value is dropped."""

    duration: Range | None = None
    """Seconds of the clip."""
    length: Range | None = None
    """Seconds that all annotated spans cover together."""
    coverage: Range | None = None
    """Length over duration."""
    difficulty: Range | None = None
    """On the data set's own scale."""

    def __post_init__(self) -> None:
        for name, wanted in self._asked().items():
            ends = [end for end in wanted if end is not None]
            if len(wanted) != 2 or not all(low <= high for low, high in pairwise(ends)):
                raise ValueError(f"keep.{name} must be [low, high], with null for an open end, got {list(wanted)}")

    def _asked(self) -> dict[str, Range]:
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: wanted for name, wanted in found.items() if wanted is not None}

    def reason(self, record: Record) -> str | None:
        """Why the record is dropped: the first range that it violates. None if it is kept."""
        has = measures(record)
        for name, (low, high) in self._asked().items():
            value = has[name]
            if value is None:
                return f"no {name}"
            if low is not None and value < low:
                return f"{name} below {low:g}"
            if high is not None and value > high:
                return f"{name} above {high:g}"
        return None

    def split(self, records: Sequence[Record]) -> tuple[list[Record], Counter[str]]:
        """The kept records, in order, and the number of dropped ones by reason."""
        reasons = [self.reason(record) for record in records]
        kept = [record for record, reason in zip(records, reasons, strict=True) if reason is None]
        return kept, Counter(reason for reason in reasons if reason is not None)


def measures(record: Record) -> dict[str, float | None]:
    """`duration`, `length`, `coverage` and `difficulty` of a record; None for what its annotation does not say."""
    length = sum(span.length for span in union(record.target.spans)) if record.target.spans else None
    return {
        "duration": record.duration,
        "length": length,
        "coverage": length / record.duration if length is not None and record.duration else None,
        "difficulty": record.difficulty,
    }
