"""Patterns for times written as JSON; each is found in linear time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from kairos.core.patterns import Found
from kairos.core.spans import Span

_LONGEST_JSON = 100_000
"""Characters. Longer JSON is not parsed: building a huge dictionary takes more than linear time."""


@dataclass(frozen=True)
class JsonKeys:
    """A JSON object with the keys `start` and `end` in any order; numbers in quotes, or bare if `unquoted`.

    >>> [found.span for found in JsonKeys().find('{"start_time": "3.5", "end_time": 6}')]
    [Span(start=3.5, end=6.0)]
    """

    start: str = "start_time"
    end: str = "end_time"
    unquoted: bool = True
    """Numbers need no quotes."""
    embedded: bool = False
    """The object reaches from the first brace to the last; otherwise it is the whole text, Unicode's white space around
    it aside."""
    pick: Literal["first", "last"] = "first"

    def find(self, text: str) -> Iterator[Found]:
        begin, end, value = _json_object(text, self.embedded)
        pair = _pair_of([value.get(self.start), value.get(self.end)], self.unquoted)
        if pair:
            yield Found(begin, end, *pair)


@dataclass(frozen=True)
class JsonList:
    """A JSON object whose `key` holds [start, end], or a list of such pairs; `embedded` as in `JsonKeys`."""

    key: str = "time"
    embedded: bool = False
    pick: Literal["first", "last"] = "first"

    def find(self, text: str) -> Iterator[Found]:
        begin, end, value = _json_object(text, self.embedded)
        listed = value.get(self.key)
        if isinstance(listed, list):
            for item in listed if listed and isinstance(listed[0], list) else [listed]:
                if pair := _pair_of(item, unquoted=True):
                    yield Found(begin, end, *pair)


@dataclass(frozen=True)
class JsonSpans:
    """A bare list of pairs, `[[start, end], ...]`, or one pair `[start, end]`: from the first "[" to the last "]".

    If one item is not a pair of numbers, nothing is found.

    >>> [found.span for found in JsonSpans().find("It is seen at [[1, 2.5], [6, 8]].")]
    [Span(start=1.0, end=2.5), Span(start=6.0, end=8.0)]
    """

    pick: Literal["first", "last"] = "first"

    def find(self, text: str) -> Iterator[Found]:
        begin, end = _between(text, "[", "]")
        listed = _value(text, begin, end)
        if isinstance(listed, list):
            items = listed if listed and isinstance(listed[0], list) else [listed]
            pairs = [_pair_of(item, unquoted=True) for item in items]
            if None not in pairs:
                yield from (Found(begin, end, *pair) for pair in pairs if pair is not None)


def _json_object(text: str, embedded: bool) -> tuple[int, int, dict[str, object]]:
    begin, end = _between(text, "{", "}") if embedded else _stripped(text)
    value = _value(text, begin, end)
    return begin, end, value if isinstance(value, dict) else {}


def _stripped(text: str) -> tuple[int, int]:
    """Where the text without white space around it begins and ends: JSON itself allows only four kinds of it."""
    return len(text) - len(text.lstrip()), len(text.rstrip())


def _between(text: str, opening: str, closing: str) -> tuple[int, int]:
    """Where the first opening bracket and the last closing one stand; -1 as the begin where there is none."""
    return text.find(opening), text.rfind(closing) + 1


def _value(text: str, begin: int, end: int) -> object:
    """The JSON value `text[begin:end]`; None where that is no JSON, or nested too deep or too long for an answer."""
    if begin < 0 or not begin < end <= begin + _LONGEST_JSON:
        return None
    try:
        return json.loads(text[begin:end], parse_int=float)
    except (ValueError, RecursionError):
        return None


def _pair_of(values: object, unquoted: bool) -> Span | None:
    if not isinstance(values, list) or len(values) != 2:
        return None
    numbers = []
    for value in values:
        if isinstance(value, str) or (unquoted and isinstance(value, int | float)):
            try:
                numbers.append(float(value))
            except ValueError:
                return None
    return Span(*numbers) if len(numbers) == 2 else None
