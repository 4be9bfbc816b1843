"""Video-MME's submission: a list of videos, each with its `questions: [{"question_id", "response", ...}]`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from kairos.core.files import write_whole
from kairos.data.records import LETTERS
from kairos.evaluation.submissions.submitted import (
    Format,
    Row,
    SubmissionError,
    Submitted,
    field,
    json_rows,
    own_id,
    video_of,
)


def read(path: Path) -> list[Submitted]:
    found = []
    for where, video in json_rows(path):
        questions = field(video, "questions", where)
        if not isinstance(questions, list):
            raise SubmissionError(f"{where}: questions is no list")
        for question in cast("list[Mapping[str, object]]", questions):
            answer = str(field(question, "response", where) or "").strip()
            key = str(field(question, "question_id", where))
            lone = len(answer) == 1 and answer in LETTERS  # else it is a text, to be read as any answer
            found.append(Submitted(key, where, choice=answer if lone else None, text=None if lone else answer))
    return found


def write(rows: Sequence[Row], path: Path) -> None:
    videos: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        videos.setdefault(video_of(row.record), []).append(
            {
                "question_id": own_id(row.place, row.record),
                "question": row.record.question,
                "options": [f"{letter}. {text}" for letter, text in zip(LETTERS, row.record.options, strict=False)],
                "answer": row.record.target.choice,
                "response": row.prediction.choice or row.prediction.text,
            }
        )
    found = [{"video_id": video, "questions": questions} for video, questions in videos.items()]
    write_whole(path, json.dumps(found, indent=1, ensure_ascii=False) + "\n")


FORMAT = Format(key=own_id, read=read, write=write, suffix=".json")
