"""VUE-TR's predictions: a list of `{"query_id", "video_id", "duration", "query", "answer": [[start, end], ...]}`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from kairos.core.files import write_whole
from kairos.evaluation.submissions.submitted import (
    Format,
    Row,
    Submitted,
    field,
    json_rows,
    number_of,
    own_id,
    spans_of,
    video_of,
)


def read(path: Path) -> list[Submitted]:
    return [
        Submitted(str(field(row, "query_id", where)), where, spans=spans_of(field(row, "answer", where), where))
        for where, row in json_rows(path)
    ]


def write(rows: Sequence[Row], path: Path) -> None:
    answers = [
        {
            "query_id": number_of(own_id(row.place, row.record)),
            "video_id": video_of(row.record),
            "duration": row.prediction.duration or row.record.duration,
            "query": row.record.question,
            "answer": [list(span) for span in row.prediction.spans],
            "task": "temporal_retrieval",
        }
        for row in rows
    ]
    write_whole(path, json.dumps(answers, indent=1) + "\n")


FORMAT = Format(key=own_id, read=read, write=write, suffix=".json")
