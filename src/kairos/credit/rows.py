"""Reads rows of completions from JSONL and checks them; an error names file, line and field.

| field | |
|---|---|
| `completion` | the answer; `text` in our own rollouts.jsonl |
| `target` | [[start, end], ...] in seconds; required unless there is a `choice`, or `highlights` |
| `choice` | the letter of the right option |
| `highlights` | [[second, saliency], ...] |
| `duration` | seconds of the clip; required where a reward depends on it |
| `group` | name of the prompt whose rows get advantages together; in rollouts.jsonl `iteration` and `uid` are it |
| `iteration` | groups of one iteration are a step, which the advantage sees at once; without it the file is one step |
| `origin` | policy (default), ground_truth or demonstration |
| `prompt` | the question; `question` in rollouts.jsonl |
| `length` | of the answer, in actions (tokens); required where a reward depends on it |
| `truncated` | whether the answer was cut off: false by default |
| `uid` | the prompt's name; repeated in what is written |
| `task` | grounding, choice, grounded_qa, ...; by default inferred from `target`, `choice` and `highlights` |

Other fields are ignored. A target span may have no length: its IoU with every answer is 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kairos.core.spans import Span
from kairos.core.types import Origin, Target

_TOO_LONG = 2**31
_ORIGINS = {origin.name.lower(): origin for origin in Origin}


class RowError(ValueError):
    """A row that cannot be used; the message begins with its file and line."""


@dataclass(frozen=True)
class Row:
    """One completion with its annotation."""

    place: str
    """File and line, for messages."""
    completion: str
    target: Target
    task: str
    duration: float
    """Seconds of the clip, NaN if not given."""
    group: str | None
    """Name of the group; None for a row that belongs to none."""
    origin: Origin
    question: str
    length: int | None = None
    """Actions (tokens); None if not given."""
    truncated: bool = False
    step: str | None = None
    """Name of the step that the group belongs to; None: all groups of the file are one step."""
    uid: str | None = None
    """The prompt's name; None if not given."""


def read_rows(file: Path) -> Iterator[tuple[int, int, Row]]:
    """(line number from 1, byte offset, row) of every line that is not blank. RowError at the first bad one."""
    with file.open("rb") as lines:
        offset = 0
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, offset, parse(line, f"{file}, line {number}")
            offset += len(line)


def parse(line: bytes, place: str) -> Row:
    """The row that a line holds; RowError names `place`, the field and the value."""
    try:
        fields = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise RowError(f"{place}: not JSON in UTF-8: {error}") from error
    if not isinstance(fields, dict):
        raise RowError(f"{place}: a row is a JSON object, got {_shown(fields)}")
    spans, marks = _pairs(fields, "target", place), _pairs(fields, "highlights", place)
    choice = fields.get("choice")
    if choice is not None and not isinstance(choice, str):
        raise RowError(f'{place}: choice must be a letter such as "B", got {_shown(choice)}')
    if not spans and not marks and choice is None:
        raise RowError(f"{place}: neither target nor choice, so nothing counts as right")
    natural = ("grounded_qa" if spans else "choice") if choice else "grounding" if spans else "highlight"
    return Row(
        place,
        _completion(fields, place),
        Target(spans=tuple(Span(*pair) for pair in spans), choice=choice, highlights=marks),
        _text(fields, "task", place) or natural,
        _duration(fields.get("duration"), place),
        _group(fields),
        _origin(fields.get("origin", "policy"), place),
        _text(fields, "prompt", place) or _text(fields, "question", place) or "",
        _length(fields.get("length"), place),
        _truncated(fields.get("truncated"), place),
        json.dumps(fields["iteration"]) if "iteration" in fields else None,
        _text(fields, "uid", place),
    )


def _completion(fields: dict[str, object], place: str) -> str:
    text = fields.get("completion", fields.get("text"))
    if not isinstance(text, str):
        raise RowError(f"{place}: completion must be a string, got {_shown(text)}")
    return text


def _text(fields: dict[str, object], name: str, place: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise RowError(f"{place}: {name} must be a string, got {_shown(value)}")
    return value


def _pairs(fields: dict[str, object], name: str, place: str) -> tuple[tuple[float, float], ...]:
    value = fields.get(name)
    pairs = []
    for pair in value if isinstance(value, list) else ():
        numbers = [_number(item) for item in pair] if isinstance(pair, list) else []
        if len(numbers) == 2 and all(math.isfinite(number) for number in numbers):
            pairs.append((numbers[0], numbers[1]))
    if value is not None and (not isinstance(value, list) or len(pairs) != len(value)):
        raise RowError(f"{place}: {name} must be [[number, number], ...] in seconds, got {_shown(value)}")
    return tuple(pairs)


def _duration(value: object, place: str) -> float:
    """NaN where it is not said: whoever needs it complains."""
    seconds = math.nan if value is None else _number(value)
    if value is not None and not 0 < seconds < math.inf:
        raise RowError(f"{place}: duration must be a positive number of seconds, got {_shown(value)}")
    return seconds


def _length(value: object, place: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _TOO_LONG):
        raise RowError(f"{place}: length must be a whole number of actions (tokens), got {_shown(value)}")
    return value


def _truncated(value: object, place: str) -> bool:
    if value is not None and not isinstance(value, bool):
        raise RowError(f"{place}: truncated must be true or false, got {_shown(value)}")
    return bool(value)


def _number(value: object) -> float:
    """The value as float; NaN if it is not a number or overflows."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _group(fields: dict[str, object]) -> str | None:
    if (name := fields.get("group")) is not None:
        return name if isinstance(name, str) else json.dumps(name)
    return f"{fields['iteration']}/{fields['uid']}" if {"iteration", "uid"} <= fields.keys() else None


def _origin(value: object, place: str) -> Origin:
    if not isinstance(value, str) or value.lower() not in _ORIGINS:
        raise RowError(f"{place}: origin must be one of {', '.join(_ORIGINS)}, got {_shown(value)}")
    return _ORIGINS[value.lower()]


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 100 else f"{text[:100]}... ({len(text)} characters)"
