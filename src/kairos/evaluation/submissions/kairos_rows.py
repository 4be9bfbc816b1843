"""Our own rows: `predictions/*.jsonl`, or lines with a `uid` and a `text`, `spans` or a `choice`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kairos.evaluation.predictions import write as write_predictions
from kairos.evaluation.submissions.submitted import Format, Row, Submitted, field, json_rows, letter_of, spans_of


def read(path: Path) -> list[Submitted]:
    return [
        Submitted(
            key=str(field(row, "uid", where)),
            where=where,
            text=str(row["text"]) if row.get("text") else None,
            spans=spans_of(row["spans"], where) if row.get("spans") else None,
            choice=letter_of(row.get("choice"), where),
        )
        for where, row in json_rows(path)
    ]


def write(rows: Sequence[Row], path: Path) -> None:
    write_predictions([row.prediction for row in rows], path)


FORMAT = Format(key=lambda place, record: record.uid, read=read, write=write, suffix=".jsonl")
