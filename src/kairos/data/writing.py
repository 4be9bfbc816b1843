"""Writes records as JSONL, which `data=jsonl` reads back as the same records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from kairos.data.records import Record


def as_row(record: Record) -> dict[str, object]:
    """One row as `kairos.data.readers.jsonl` reads it, with the video's absolute path and without empty fields."""
    target, video = record.target, record.video
    row: dict[str, object] = {
        "uid": record.uid,
        "source": record.source,
        "task": record.task,
        "video": str(Path(video.path).resolve()),
        "start": video.start,
        "end": video.end,
        "fps": video.fps,
        "duration": record.duration,
        "difficulty": record.difficulty,
        "question": record.question,
        "options": list(record.options),
        "choice": target.choice,
        "spans": [list(span) for span in target.spans],
        "evidence": [list(span) for span in target.evidence],
        "highlights": [list(pair) for pair in target.highlights],
        "demonstration": target.demonstration,
    }
    return {name: value for name, value in row.items() if value is not None and value != []}


def write_jsonl(records: Sequence[Record], path: Path) -> None:
    """Write records to `path` atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        file.writelines(json.dumps(as_row(record), ensure_ascii=False, allow_nan=False) + "\n" for record in records)
    unfinished.replace(path)
