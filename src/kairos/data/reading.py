"""What readers share: rows become records, and rows that cannot are counted and named, or stop the reading."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from kairos.core.spans import Span
from kairos.core.types import Failure
from kairos.data.records import Record

_log = logging.getLogger(__name__)
Row = TypeVar("Row")
OnProblem = Literal["skip", "error"]


class AnnotationError(ValueError):
    """A row of annotations that cannot be used: says the file, the row, what is wrong and what to do."""


class MissingVideo(ValueError):
    """A row whose video is not there."""


@dataclass(frozen=True)
class Reading:
    """What came of a file: usable `records`, rows without their video, rows with unusable annotations, and how many
    records have a span that ends behind the annotated duration (kept as annotated)."""

    records: tuple[Record, ...]
    missing: tuple[Failure, ...] = ()
    invalid: tuple[Failure, ...] = ()
    beyond: int = 0


def read_rows(
    file: Path, rows: Iterable[Row], parse: Callable[[int, Row], Record], missing: OnProblem, invalid: OnProblem
) -> Reading:
    """Parse rows, counted from 1. With "error" the first problem of that kind is raised, with "skip" it is kept."""
    records, absent, unusable = [], [], []
    for number, row in enumerate(rows, start=1):
        try:
            records.append(parse(number, row))
        except MissingVideo as problem:
            if missing == "error":
                raise
            absent.append(Failure(f"{file.name}:{number}", str(problem)))
        except AnnotationError as problem:
            if invalid == "error":
                raise
            unusable.append(Failure(f"{file.name}:{number}", str(problem)))
    beyond = sum(_ends_beyond(record) for record in records)
    return Reading(tuple(records), tuple(absent), tuple(unusable), beyond)


def report(file: Path, reading: Reading) -> list[Record]:
    """Log what was left out, once, and give the records; ValueError where none is left."""
    total = len(reading.records) + len(reading.missing) + len(reading.invalid)
    for failures, what in ((reading.missing, "without their video"), (reading.invalid, "with unusable annotations")):
        if failures:
            named = "; ".join(failure.reason for failure in failures[:3])
            more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
            _log.warning("%s: %d of %d rows left out, %s: %s%s", file, len(failures), total, what, named, more)
    if reading.beyond:
        _log.warning("%s: %d spans end behind the duration (kept; clamp=true cuts them)", file, reading.beyond)
    if not reading.records:
        first = (*reading.missing, *reading.invalid)
        why = f"; the first: {first[0].reason}" if first else ""
        raise ValueError(f"{file}: none of {total} rows can be used{why}")
    return list(reading.records)


def checked_span(start: float, end: float, where: str, remedy: str, duration: float | None, clamp: bool) -> Span:
    """A proper span, or an AnnotationError that names `where` and the `remedy`. `clamp` cuts it to [0, duration]."""
    if not (math.isfinite(start) and math.isfinite(end)):
        raise AnnotationError(f"{where}: span {start} to {end} is not a pair of numbers; {remedy}")
    if end < start:
        raise AnnotationError(f"{where}: span {start:g} to {end:g} is reversed; {remedy}")
    if end == start:
        raise AnnotationError(f"{where}: span {start:g} to {end:g} has zero length; {remedy}")
    if not clamp:
        return Span(start, end)
    cut = Span(max(0.0, start), end if duration is None else min(end, duration))
    if not cut.proper:
        raise AnnotationError(f"{where}: span {start:g} to {end:g} lies outside the {duration} s of the clip; {remedy}")
    return cut


def check_choice(**values: str) -> None:
    """Each value must be "skip" or "error"."""
    for name, value in values.items():
        if value not in ("skip", "error"):
            raise ValueError(f"{name} must be skip or error, got {value!r}")


def _ends_beyond(record: Record) -> bool:
    spans = (*record.target.spans, *record.target.evidence)
    return record.duration is not None and any(span.end > record.duration for span in spans)
