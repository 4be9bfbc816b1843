"""Reads a list of spans as TimeLens2's reward does: whatever stands around it, but no span without length."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from kairos.core.answers import blocks
from kairos.core.spans import Span

_FENCE = re.compile(r"```(?:json)?\s*+(.*?)```", re.DOTALL | re.IGNORECASE)
_LONGEST = 100_000  # characters that are tried as JSON


def listed_spans(text: str) -> tuple[Span, ...]:
    """The spans of the first text that is a list of pairs; empty where none is.

    Tried in order, in the answer block if there is one: the whole text, a code fence, the first balanced "[[...]]". One
    pair without brackets around it is a list of one; numbers may be in quotes, and a reversed pair is turned around.
    One pair that is not two numbers, or has no length, makes the whole list unusable.

    >>> listed_spans("It is at [[20, 10]] and [[30, 40]]")
    (Span(start=10.0, end=20.0),)
    >>> listed_spans("[[10, 20], [30, 30]]")
    ()
    """
    scope = next(blocks(text), text)
    for candidate in _candidates(scope):
        try:
            value = json.loads(candidate, parse_int=float)
        except (ValueError, RecursionError):
            continue
        return _spans(value)
    return ()


def _candidates(scope: str) -> Iterator[str]:
    if len(scope) > _LONGEST:
        return
    yield scope
    if fence := _FENCE.search(scope):
        yield fence[1]
    begun = scope.find("[[")
    if begun >= 0:
        depth = 0
        for place in range(begun, len(scope)):
            depth += (scope[place] == "[") - (scope[place] == "]")
            if depth == 0:
                yield scope[begun : place + 1]
                return


def _spans(value: object) -> tuple[Span, ...]:
    """The spans of a list of pairs, of one pair, or of a list in a list; empty if any of them is unusable."""
    while isinstance(value, list) and len(value) == 1 and _nested(value[0]):
        value = value[0]
    if not isinstance(value, list):
        return ()
    pairs = value if value and isinstance(value[0], list) else [value]
    spans = [_span(pair) for pair in pairs]
    return tuple(span for span in spans if span is not None) if None not in spans else ()


def _nested(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], list)


def _span(pair: object) -> Span | None:
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str | float) for part in pair):
        return None
    try:
        start, end = sorted(float(part) for part in pair)
    except ValueError:
        return None
    return Span(start, end) if math.isfinite(start) and math.isfinite(end) and end > start else None
