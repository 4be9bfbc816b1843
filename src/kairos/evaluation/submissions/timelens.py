"""TimeLens' result file: lines `{"<video>.mp4>>><query>>>>[start, end]": {"timestamps": [[s, e]], "answers": ...}}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from kairos.core.files import json_line, write_whole
from kairos.data.records import Record
from kairos.evaluation.submissions.submitted import (
    Format,
    Row,
    SubmissionError,
    Submitted,
    field,
    json_rows,
    spans_of,
    video_of,
)


def key(place: int, record: Record) -> str:
    """Queries are compared as TimeLens writes them: white space collapsed, final dots cut."""
    span = [list(span) for span in record.target.spans[:1]]
    query = " ".join(record.question.split()).rstrip(".")
    return f"{video_of(record)}.mp4>>>{query}>>>{span[0] if span else []}"


def read(path: Path) -> list[Submitted]:
    found = []
    for where, row in json_rows(path):
        for name, answer in row.items():
            if not isinstance(answer, dict):
                raise SubmissionError(f"{where}: {name!r} holds no object with timestamps")
            given = cast("Mapping[str, object]", answer)
            found.append(Submitted(_plain(name), where, spans=spans_of(field(given, "timestamps", where), where)))
    return found


def write(rows: Sequence[Row], path: Path) -> None:
    """An answer without a span is written as TimeLens writes it: 10 to 20 seconds behind the end."""
    lines = []
    for row in rows:
        duration = row.prediction.duration or row.record.duration or 0.0
        spans = [list(span) for span in row.prediction.spans[:1]] or [[duration + 10, duration + 20]]
        answer = {"timestamps": spans, "answers": row.prediction.text, "duration": duration}
        lines.append(json_line({key(row.place, row.record): answer}))
    write_whole(path, b"".join(lines))


def _plain(name: str) -> str:
    """A key with its query as `key` writes it."""
    video, _, rest = name.partition(">>>")
    query, _, span = rest.rpartition(">>>")
    return f"{video}>>>{' '.join(query.split()).rstrip('.')}>>>{span}"


FORMAT = Format(key=key, read=read, write=write, suffix=".jsonl")
