"""What readers share: rows are turned into records; unusable rows are counted and named, or stop the reading."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeVar

from kairos.core.spans import Span
from kairos.core.types import Failure
from kairos.data.readers.fields import AnnotationError, checked_span
from kairos.data.records import Record

__all__ = ["AnnotationError", "AnnotationFile", "MissingVideo", "OnProblem", "Reading"]

_log = logging.getLogger(__name__)
_REMEDY = "correct it, or leave such rows out with invalid=skip"
Row = TypeVar("Row")
OnProblem = Literal["skip", "error"]


class MissingVideo(ValueError):
    """A row whose video is not there."""


@dataclass(frozen=True)
class Reading:
    """A file that was read: its usable `records`, the rows without their video (`missing`), those with an unusable
    annotation (`invalid`), and the number of records with a span that ends behind the duration (`beyond`; kept)."""

    records: tuple[Record, ...]
    missing: tuple[Failure, ...] = ()
    invalid: tuple[Failure, ...] = ()
    beyond: int = 0


@dataclass(frozen=True)
class AnnotationFile(ABC, Generic[Row]):
    """A reader of one file of annotations, whose videos lie below `videos`; subclasses say what a row is.

    A row whose video is absent is counted and named (`missing="error"` stops instead); so is one whose annotation
    cannot be used (`invalid`). A span that ends behind the duration is kept as annotated and counted; `clamp` cuts it.
    """

    annotations: str
    videos: str
    missing: OnProblem = field(default="skip", kw_only=True)
    invalid: OnProblem = field(default="skip", kw_only=True)
    clamp: bool = field(default=False, kw_only=True)
    _known: dict[str, bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, value in (("missing", self.missing), ("invalid", self.invalid)):
            if value not in ("skip", "error"):
                raise ValueError(f"{name} must be skip or error, got {value!r}")

    @abstractmethod
    def rows(self) -> Iterable[tuple[str, Row]]:
        """Every row with what names it in the file: "12", or "v_abc:3"."""

    @abstractmethod
    def record(self, key: str, row: Row) -> Record:
        """One row as a record; AnnotationError or MissingVideo where it is none."""

    @property
    def file(self) -> Path:
        return Path(self.annotations)

    def records(self) -> list[Record]:
        """The usable rows; what is left out is logged once. ValueError where nothing is left."""
        return _report(self.file, self.read())

    def missing_videos(self) -> tuple[Failure, ...]:
        """The rows whose video is absent."""
        return self.read().missing

    def read(self) -> Reading:
        """Every row, sorted into usable, missing and invalid; with "error" the first problem of that kind is raised."""
        self._known.clear()
        records, absent, unusable = [], [], []
        for key, row in self.rows():
            try:
                records.append(self.record(key, row))
            except MissingVideo as problem:
                if self.missing == "error":
                    raise
                absent.append(Failure(f"{self.file.name}:{key}", str(problem)))
            except AnnotationError as problem:
                if self.invalid == "error":
                    raise
                unusable.append(Failure(f"{self.file.name}:{key}", str(problem)))
        beyond = sum(_ends_beyond(record) for record in records)
        return Reading(tuple(records), tuple(absent), tuple(unusable), beyond)

    def where(self, key: str) -> str:
        return f"{self.annotations}, row {key}"

    def span(self, key: str, start: float, end: float, duration: float | None = None, remedy: str = _REMEDY) -> Span:
        """A proper span of a row, in seconds; cut to the duration with `clamp`."""
        return checked_span(start, end, self.where(key), remedy, duration, self.clamp)

    def find(self, key: str, name: str, suffixes: Iterable[str] = ("",)) -> str:
        """The path of a row's video, with the first of `suffixes` that exists; MissingVideo where none does."""
        candidates = [Path(self.videos) / f"{name}{suffix}" for suffix in suffixes]
        for path in candidates:
            if self._known.setdefault(str(path), path.exists()):
                return str(path)
        shown = " or ".join([str(candidates[0]), *(path.suffix for path in candidates[1:])])
        problem = f"no video {shown}; put it there (missing=skip leaves such rows out)"
        raise MissingVideo(f"{self.where(key)}: {problem}")


def _report(file: Path, reading: Reading) -> list[Record]:
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


def _ends_beyond(record: Record) -> bool:
    spans = (*record.target.spans, *record.target.evidence)
    return record.duration is not None and any(span.end > record.duration for span in spans)
