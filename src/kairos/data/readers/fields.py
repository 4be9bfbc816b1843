"""Typed access to the fields of one row; an error names the row and the remedy."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from kairos.core.prompt_text import shortened
from kairos.core.spans import Span
from kairos.core.spelling import close

_DIGITS = 300


class RowError(ValueError):
    """A row cannot be used; the message names file, row, fault and remedy, and is short whatever the row holds."""

    def __init__(self, message: str) -> None:
        super().__init__(shortened(message))


class AnnotationError(RowError):
    """The annotation of a row is unusable."""


@dataclass(frozen=True)
class Fields:
    """The fields of one row; `where` names file and row. Methods raise AnnotationError for a wrong value."""

    where: str
    values: Mapping[str, object]

    @staticmethod
    def of(where: str, value: object) -> Fields:
        if not isinstance(value, Mapping):
            raise AnnotationError(f"{where}: not a JSON object; write {{...}}, one a line")
        return Fields(where, value)

    @staticmethod
    def parse(where: str, line: str) -> Fields:
        try:
            return Fields.of(where, loads(line))
        except JsonFault as fault:
            problem = f"not JSON ({fault.reason}, column {fault.column}); write one JSON object a line"
            raise AnnotationError(f"{where}: {problem}") from None

    def fail(self, problem: str) -> NoReturn:
        raise AnnotationError(f"{self.where}: {problem}")

    def require(self, name: str, why: str) -> None:
        if self.values.get(name) in (None, "", [], ()):
            others = [other for other in self.values if other != name]
            instead = "".join(f" (is `{other}` meant for it?)" for other in close(name, others, 1, alike=0.75))
            self.fail(f"no `{name}`{instead}; {why}")

    def text(self, name: str, default: str | None = None) -> str:
        """The text under `name`; without a default it must be there and not empty."""
        value = self.values.get(name, default)
        if value is None or (default is None and value == ""):
            self.fail(f"no `{name}`; a row needs it")
        if not isinstance(value, str):
            self.fail(f"`{name}` must be text, got {value!r}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.values.get(name, [])
        if not isinstance(value, list):
            self.fail(f"`{name}` must be a list of texts, got {value!r}")
        texts = tuple(item for item in value if isinstance(item, str))
        if len(texts) < len(value):
            self.fail(f"`{name}` must be a list of texts, got {value!r}")
        return texts

    def number(self, name: str, what: str = "a number of seconds (fps: frames a second)") -> float | None:
        value = self.values.get(name)
        if value is None:
            return None
        number = as_number(value)
        if number is None or not math.isfinite(number):
            self.fail(f"`{name}` must be {what}, got {value!r}")
        return number

    def part(self) -> tuple[float | None, float | None]:
        """`start` and `end`, the clip's part of its video in seconds; None where the row does not say."""
        start, end = self.number("start"), self.number("end")
        if (start is not None and start < 0) or (end is not None and end <= (start or 0.0)):
            self.fail(f"the part {start} to {end} of the video has no length; correct `start` and `end`")
        return start, end

    def seconds(self, name: str) -> float:
        """A number of seconds above 0 that must be there."""
        value = self.number(name)
        if value is None:
            self.fail(f"no `{name}`; a row needs it, in seconds")
        if value <= 0:
            self.fail(f"`{name}` must be above 0 seconds, got {value:g}")
        return value

    def pairs(self, name: str, what: str = "[[start, end], ...] in seconds") -> tuple[tuple[float, float], ...]:
        """Pairs of numbers under `name`; empty if the row has no such field."""
        value = self.values.get(name, [])
        found = as_pairs(value)
        if found is None:
            self.fail(f"`{name}` must be {what}, got {value!r}")
        return found

    def finite_pairs(self, name: str, what: str) -> tuple[tuple[float, float], ...]:
        """As `pairs`, without infinities and NaN."""
        found = self.pairs(name, what)
        if not all(math.isfinite(number) for pair in found for number in pair):
            self.fail(f"`{name}` must be {what}, got {found!r}")
        return found


class JsonFault(ValueError):
    """Text that is not JSON, or nested too deeply to be read."""

    def __init__(self, reason: str, line: int = 1, column: int = 1) -> None:
        super().__init__(reason)
        self.reason, self.line, self.column = reason, line, column


def loads(text: str) -> object:
    """The value of JSON text; a whole number of more than 300 digits, which is no float, stays text. JsonFault."""
    try:
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= _DIGITS else digits)
    except json.JSONDecodeError as error:
        raise JsonFault(error.msg, error.lineno, error.colno) from None
    except RecursionError:
        raise JsonFault("nested too deeply") from None


def as_number(value: object) -> float | None:
    """A JSON number as float; None for anything else, true and false included."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def as_pairs(value: object) -> tuple[tuple[float, float], ...] | None:
    """[[a, b], ...] as pairs of numbers; None for anything else."""
    if not isinstance(value, list):
        return None
    pairs = []
    for item in value:
        numbers = [as_number(part) for part in item] if isinstance(item, list) else []
        if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
            return None
        pairs.append((numbers[0], numbers[1]))
    return tuple(pairs)


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
