"""Submissions of letters: LVBench's `{uid: letter}`, LongVideoBench's `{id: text}`, MLVU's list of options."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from kairos.core.files import write_whole
from kairos.evaluation.submissions.submitted import (
    Format,
    Row,
    SubmissionError,
    Submitted,
    field,
    json_file,
    json_rows,
    letter_of,
    own_id,
)


def _read_letters(path: Path) -> list[Submitted]:
    return [Submitted(key, where, choice=letter_of(value, where)) for key, where, value in _entries(path)]


def _read_texts(path: Path) -> list[Submitted]:
    return [Submitted(key, where, text=str(value)) for key, where, value in _entries(path)]


def _read_mlvu(path: Path) -> list[Submitted]:
    return [
        Submitted(str(field(row, "question_id", where)), where, choice=letter_of(field(row, "option", where), where))
        for where, row in json_rows(path)
    ]


def _write_letters(rows: Sequence[Row], path: Path) -> None:
    _dump({own_id(row.place, row.record): row.prediction.choice or "" for row in rows}, path)


def _write_texts(rows: Sequence[Row], path: Path) -> None:
    _dump({own_id(row.place, row.record): row.prediction.text for row in rows}, path)


def _write_mlvu(rows: Sequence[Row], path: Path) -> None:
    answers = [
        {
            "question_id": own_id(row.place, row.record),
            "question_type": row.record.source,
            "option": row.prediction.choice or "",
        }
        for row in rows
    ]
    _dump(answers, path)


def _entries(path: Path) -> list[tuple[str, str, object]]:
    found = json_file(path)
    if not isinstance(found, dict):
        raise SubmissionError(f"{path} holds no object {{id: answer}}: give another format=, or correct the file")
    return [(key, f"{path}, {key}", value) for key, value in cast("Mapping[str, object]", found).items()]


def _dump(value: object, path: Path) -> None:
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


LVBENCH = Format(key=own_id, read=_read_letters, write=_write_letters, suffix=".json")
LONGVIDEOBENCH = Format(key=own_id, read=_read_texts, write=_write_texts, suffix=".json")
MLVU = Format(key=own_id, read=_read_mlvu, write=_write_mlvu, suffix=".json")
