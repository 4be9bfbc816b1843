"""One answer of a submission file, and what every format does: name rows, read answers, write predictions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from kairos.core.spans import Span
from kairos.data.records import Record
from kairos.evaluation.predictions import Prediction


class SubmissionError(ValueError):
    """A submission file that cannot be scored; the message names file, row and remedy."""


@dataclass(frozen=True)
class Submitted:
    """What a file says about one row: a text to be read, or spans, or a letter."""

    key: str
    """The row's name in the format."""
    where: str
    """File and row, for messages."""
    text: str | None = None
    """An answer as written: it is read as the template's grammar says."""
    spans: tuple[Span, ...] | None = None
    """Stated spans, in seconds unless the file counts otherwise."""
    choice: str | None = None
    """A stated letter."""
    ranked: tuple[tuple[float, float, float], ...] | None = None
    """(start, end, confidence), where the format has confidences."""
    saliency: tuple[float, ...] | None = None
    """A score for each 2 s of the clip, where the format has them."""


@dataclass(frozen=True)
class Row:
    """One row of a split, with its answer."""

    place: int
    """From 0 on."""
    record: Record
    prediction: Prediction


@dataclass(frozen=True)
class Format:
    """One format of submission files."""

    key: Callable[[int, Record], str]
    """The name of a row: from its place in the split and its record."""
    read: Callable[[Path], list[Submitted]]
    """The answers of a file. SubmissionError."""
    write: Callable[[Sequence[Row], Path], None]
    """Write the answers of a whole split to a new file."""
    suffix: str
    """Of a file's name, with its dot."""


def own_id(place: int, record: Record) -> str:
    """The row's id in its benchmark: what stands behind the last colon of its uid."""
    return record.uid.rpartition(":")[2]


def number_of(name: str) -> int | str:
    """An id as the benchmark writes it: a number where it is one."""
    return int(name) if name.isdigit() else name


def video_of(record: Record) -> str:
    """The name of a record's video without folder and suffix."""
    return Path(record.video.path).stem


def json_file(path: Path) -> object:
    """A JSON value. SubmissionError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SubmissionError(f"predictions={path}: there is no such file") from None
    except (ValueError, RecursionError) as error:
        raise SubmissionError(f"{path} is not JSON ({error}): give another format=, or correct the file") from error


def json_rows(path: Path) -> list[tuple[str, Mapping[str, object]]]:
    """The objects of a JSONL file, or of a JSON list, each with the place that names it in messages."""
    if path.suffix == ".json":
        found = json_file(path)
        if not isinstance(found, list):
            raise SubmissionError(f"{path} holds no list of rows: give another format=, or correct the file")
        rows = [(f"{path}, row {number}", row) for number, row in enumerate(found, start=1)]
    else:
        rows = []
        for number, line in enumerate(_lines(path), start=1):
            try:
                rows.append((f"{path}:{number}", json.loads(line)))
            except (ValueError, RecursionError) as error:
                raise SubmissionError(f"{path}:{number} is not JSON ({error}): correct the line") from error
    for where, row in rows:
        if not isinstance(row, dict):
            raise SubmissionError(f"{where} is no JSON object: give another format=, or correct the row")
    return cast("list[tuple[str, Mapping[str, object]]]", rows)


def field(row: Mapping[str, object], name: str, where: str) -> object:
    """A field that a format requires. SubmissionError."""
    if name not in row:
        raise SubmissionError(f"{where} has no {name!r} (it has {', '.join(row) or 'nothing'}): is it another format=?")
    return row[name]


def spans_of(value: object, where: str) -> tuple[Span, ...]:
    """Spans from [[start, end], ...]; further numbers of an entry, such as a score, are left out. SubmissionError."""
    if not isinstance(value, list):
        raise SubmissionError(f"{where}: {value!r} is no list of [start, end]")
    found: list[Span] = []
    for pair in cast("list[object]", value):
        numbers = cast("list[object]", pair)[:2] if isinstance(pair, list) else []
        if len(numbers) < 2 or not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
            raise SubmissionError(f"{where}: {pair!r} is no [start, end] of numbers")
        start, end = cast("list[float]", numbers)
        found.append(Span(float(start), float(end)))
    return tuple(found)


def letter_of(value: object, where: str) -> str | None:
    """A letter, also written (A) or A. ; None where nothing is stated. SubmissionError for anything else."""
    if value is None or value == "":
        return None
    text = str(value).strip().strip("().: ").upper()
    if len(text) != 1 or not text.isascii() or not text.isalpha():
        raise SubmissionError(f"{where}: {value!r} is no letter of an option; leave it empty where nothing was stated")
    return text


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise SubmissionError(f"predictions={path}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise SubmissionError(f"{path} is not text in UTF-8 ({error}): give another format=") from error
