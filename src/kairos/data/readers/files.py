"""Reads text, JSON and JSONL annotation files; each row comes with the key that names it in errors."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

from kairos.core.regular_files import open_regular
from kairos.data.readers.fields import AnnotationError, JsonFault, loads

_MOST_BYTES = 8 << 30


def lines_of(file: Path) -> list[tuple[str, str]]:
    """The lines of a text file with their numbers, without the empty ones at its end."""
    lines = [line.removesuffix("\r") for line in text_of(file).split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    return [(str(number), line) for number, line in enumerate(lines, start=1)]


def items_of(file: Path) -> list[tuple[str, object]]:
    """The rows of a .jsonl file, or of a .json file that holds one list; a line that is not JSON stays text."""
    if file.suffix == ".jsonl":
        return [(number, _loads(line)) for number, line in lines_of(file)]
    value = _json_of(file)
    if not isinstance(value, list):
        raise AnnotationError(f"{file}: not a list of rows; write [...], or one row a line in a .jsonl file")
    return [(str(number), item) for number, item in enumerate(value, start=1)]


def csv_rows(text: str, delimiter: str = ",") -> Iterator[tuple[str, dict[str, str]]]:
    """The rows below a header, by column; one that csv refuses holds its reason under "rest", and lacks its columns."""
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, restval="", restkey="rest")
    for number in count(1):
        try:
            yield str(number), next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # a field of more than 131,072 characters; the next row is read
            yield str(number), {"rest": str(error)}


def table_of(file: Path) -> Mapping[str, object]:
    """A .json file that holds one object; AnnotationError where it does not."""
    value = _json_of(file)
    if not isinstance(value, Mapping):
        raise AnnotationError(f"{file}: not a JSON object; name a file of {{...}}")
    return value


def _json_of(file: Path) -> object:
    try:
        return loads(text_of(file))
    except JsonFault as fault:
        raise AnnotationError(f"{file}: not JSON ({fault.reason}, line {fault.line}); correct the file") from None


def _loads(line: str) -> object:
    try:
        return loads(line)
    except JsonFault:
        return line


def text_of(file: Path) -> str:
    """The text of an annotation file; bytes that are no UTF-8 become lone surrogates, so that only their row fails."""
    try:
        with open_regular(file) as stream:
            if (size := os.fstat(stream.fileno()).st_size) > _MOST_BYTES:
                raise AnnotationError(
                    f"{file}: {size} bytes, more than the {_MOST_BYTES} that are read; split the file"
                )
            with io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8", errors="surrogateescape") as text:
                return text.read()
    except FileNotFoundError:
        raise AnnotationError(f"no annotation file {file}; correct the paths of `data`") from None
    except OSError as error:
        raise AnnotationError(f"{file}: cannot be read ({error.strerror}); correct the paths of `data`") from None
