"""The base class of readers: turns rows into records, and counts unusable rows or stops at the first."""

from __future__ import annotations

import logging
import os
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Generic, Literal, TypeVar

from kairos.core.prompt_text import shortened
from kairos.core.spans import Span
from kairos.core.types import Failure
from kairos.data.readers.counts import check_split, compared_count
from kairos.data.readers.fields import AnnotationError, RowError, checked_span
from kairos.data.readers.units import check_units
from kairos.data.records import Record

__all__ = ["AnnotationError", "AnnotationFile", "MissingVideo", "OnMissing", "OnProblem", "Reading"]

_log = logging.getLogger(__name__)
_REMEDY = "correct it, or leave such rows out with invalid=skip"
_NAME = 1000  # characters of a uid, a source or a task
Row = TypeVar("Row")
OnProblem = Literal["skip", "error"]
OnMissing = Literal["skip", "error", "keep"]


class MissingVideo(RowError):
    """The video of a row does not exist."""


@dataclass(frozen=True)
class Reading:
    """What an annotation file holds."""

    records: tuple[Record, ...]
    """The usable rows."""
    missing: tuple[Failure, ...] = ()
    """Rows whose video does not exist."""
    invalid: tuple[Failure, ...] = ()
    """Rows with an unusable annotation."""
    beyond: int = 0
    """Number of records with a span that ends after the clip; they are kept."""

    @property
    def rows(self) -> int:
        return len(self.records) + len(self.missing) + len(self.invalid)


@dataclass(frozen=True)
class AnnotationFile(ABC, Generic[Row]):
    """A reader of one annotation file; a subclass says what a row is and how it becomes a record."""

    annotations: str
    """Path of the annotation file."""
    videos: str
    """Folder of the videos."""
    missing: OnMissing = field(default="skip", kw_only=True)
    """A row whose video does not exist: skip and log it, stop, or keep it: its prompt fails, which an evaluation counts
    as 0 and names."""
    invalid: OnProblem = field(default="skip", kw_only=True)
    """A row whose annotation cannot be used: skip and log it, or stop."""
    clamp: bool = field(default=False, kw_only=True)
    """Cut a span that ends after the clip; otherwise it is kept as annotated and counted."""
    split: str | None = field(default=None, kw_only=True)
    """Which published split the file is, one of `published`: another number of rows is said. None: not checked."""
    published: ClassVar[Mapping[str, int]] = {}
    """The number of rows of each split, as published."""
    _known: dict[str, bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.missing not in ("skip", "error", "keep"):
            raise ValueError(f"missing must be skip, error or keep, got {self.missing!r}")
        if self.invalid not in ("skip", "error"):
            raise ValueError(f"invalid must be skip or error, got {self.invalid!r}")
        check_split(self.split, self.published)

    @abstractmethod
    def rows(self) -> Iterable[tuple[str, Row]]:
        """Every row with its key in the file, such as "12" or "v_abc:3"."""

    @abstractmethod
    def record(self, key: str, row: Row) -> Record:
        """The record of one row; AnnotationError or MissingVideo if it is unusable."""

    @property
    def file(self) -> Path:
        return Path(self.annotations)

    def records(self) -> list[Record]:
        """The records of all usable rows; logs the others once. ValueError if no row is usable."""
        reading = self.read()
        if said := compared_count(self.file, self.split, reading.rows, self.published):
            _log.warning("%s", said)
        check_units(self.file, reading.records)
        if reading.missing and not reading.records and not Path(self.videos).is_dir():
            raise ValueError(f"{self.file}: there is no folder of videos {self.videos}; correct data.videos")
        return _report(self.file, reading)

    def missing_videos(self) -> tuple[Failure, ...]:
        """The rows whose video is absent."""
        return self.read().missing

    def read(self) -> Reading:
        """Read all rows; with `missing` or `invalid` "error" the first such row raises."""
        self._known.clear()
        records, absent, unusable = [], [], []
        for key, row in self.rows():
            try:
                records.append(self._checked(key, row))
            except MissingVideo as problem:
                if self.missing == "error":
                    raise
                absent.append(Failure(shortened(f"{self.file.name}:{key}"), str(problem)))
            except AnnotationError as problem:
                if self.invalid == "error":
                    raise
                unusable.append(Failure(shortened(f"{self.file.name}:{key}"), str(problem)))
        beyond = sum(_ends_beyond(record) for record in records)
        return Reading(tuple(records), tuple(absent), tuple(unusable), beyond)

    def _checked(self, key: str, row: Row) -> Record:
        """The record of one row, its names such as files and logs take. AnnotationError, MissingVideo."""
        try:
            record = self.record(key, row)
        except RecursionError:
            raise AnnotationError(f"{self.where(key)}: nested too deeply; {_REMEDY}") from None
        for what, name in (("uid", record.uid), ("source", record.source), ("task", record.task)):
            if len(name) > _NAME or not (name.isprintable() or _plain(name)):
                raise AnnotationError(
                    f"{self.where(key)}: the {what} {name[:60]!a} is longer than {_NAME} characters, or holds control "
                    f"characters or half ones; {_REMEDY}"
                )
        return record

    def where(self, key: str) -> str:
        return f"{self.annotations}, row {key}"

    def span(self, key: str, start: float, end: float, duration: float | None = None, remedy: str = _REMEDY) -> Span:
        """A proper span of a row, in seconds; cut to the duration with `clamp`."""
        return checked_span(start, end, self.where(key), remedy, duration, self.clamp)

    def find(self, key: str, name: str, suffixes: Iterable[str] = ("",)) -> str:
        """The path of a row's video, with the first of `suffixes` that exists; MissingVideo where none does."""
        candidates = [Path(self.videos) / f"{name}{suffix}" for suffix in suffixes]
        for path in candidates:
            if self._known.setdefault(str(path), os.path.exists(path)):  # noqa: PTH110 - takes any name
                return str(path)
        if self.missing == "keep":
            return str(candidates[0])
        shown = " or ".join([str(candidates[0]), *(path.suffix for path in candidates[1:])])
        problem = f"no video {shown}; put it there (data.missing=skip leaves such rows out)"
        raise MissingVideo(f"{self.where(key)}: {problem}")


def _plain(name: str) -> bool:
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in name)


def _report(file: Path, reading: Reading) -> list[Record]:
    total = reading.rows
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
        absent = "; no video was found: is data.videos right?" if len(reading.missing) == total > 0 else ""
        raise ValueError(f"{file}: none of {total} rows can be used{absent}{why}")
    return list(reading.records)


def _ends_beyond(record: Record) -> bool:
    spans = (*record.target.spans, *record.target.evidence)
    return record.duration is not None and any(span.end > record.duration for span in spans)
