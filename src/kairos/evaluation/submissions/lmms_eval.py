"""The samples file of lmms-eval (`<date>_samples_<task>.jsonl`): a row's name is its place in the split, `doc_id`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kairos.core.files import json_line, write_whole
from kairos.evaluation.submissions.submitted import Format, Row, Submitted, field, json_rows


def read(path: Path) -> list[Submitted]:
    rows = []
    for where, row in json_rows(path):
        answer = field(row, "filtered_resps", where)
        while isinstance(answer, list) and answer:  # a list of answers, or a list of such lists
            answer = answer[0]
        rows.append(Submitted(str(field(row, "doc_id", where)), where, text=str(answer)))
    return rows


def write(rows: Sequence[Row], path: Path) -> None:
    lines = [
        json_line(
            {
                "doc_id": row.place,
                "target": _target(row),
                "filtered_resps": [row.prediction.text],
                "input": row.record.question,
                "input_media": [row.record.video.path],
                **(row.prediction.scores or {}),
            }
        )
        for row in rows
    ]
    write_whole(path, b"".join(lines))


def _target(row: Row) -> object:
    return row.record.target.choice or [list(span) for span in row.record.target.spans]


FORMAT = Format(key=lambda place, record: str(place), read=read, write=write, suffix=".jsonl")
