"""Reads text, JSON and JSONL annotation files; each row comes with the key that names it in errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from kairos.data.readers.fields import AnnotationError


def lines_of(file: Path) -> list[tuple[str, str]]:
    """The lines of a text file with their numbers, without the empty ones at its end."""
    lines = [line.removesuffix("\r") for line in _text(file).split("\n")]
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


def table_of(file: Path) -> Mapping[str, object]:
    """A .json file that holds one object; AnnotationError where it does not."""
    value = _json_of(file)
    if not isinstance(value, Mapping):
        raise AnnotationError(f"{file}: not a JSON object; name a file of {{...}}")
    return value


def _json_of(file: Path) -> object:
    try:
        return json.loads(_text(file))
    except json.JSONDecodeError as error:
        raise AnnotationError(f"{file}: not JSON ({error.msg}, line {error.lineno}); correct the file") from None


def _loads(line: str) -> object:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return line


def _text(file: Path) -> str:
    if not file.is_file():
        raise AnnotationError(f"no annotation file {file}; correct the paths of `data`")
    return file.read_text(encoding="utf-8")
