"""Reads MLVU: the seven files of its dev split, or one of them, or its questions in one list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from kairos.core.questions import question_stem
from kairos.data.readers.files import items_of
from kairos.data.readers.multiple_choice import MultipleChoice


@dataclass(frozen=True)
class MLVU(MultipleChoice):
    """Rows of {video, duration, question, candidates, answer, question_type}; `annotations` is a file or their folder.

    The rows of TSPO's list are read too: {video_name, task_type, question_id}, with the options repeated in the
    question. Videos lie in `videos`, or in a folder there that is named as the file ("4_count"). The answer is the
    option's text or its letter. The test split (502 questions of six options) is read where it says the answers.
    """

    published = MappingProxyType(
        {
            "dev": 2_174, "test": 502, "plotQA": 539, "needle": 355, "ego": 352, "topic_reasoning": 263,
            "order": 259, "count": 206, "anomaly_reco": 200,
        }
    )  # fmt: skip

    source: str | None = "mlvu"

    def rows(self) -> Iterator[tuple[str, object]]:
        if not self.file.is_dir():
            for key, row in items_of(self.file):
                yield key, _row(row, None)
            return
        for file in sorted(self.file.glob("*.json")):
            folder = file.stem if (Path(self.videos) / file.stem).is_dir() else None
            for key, row in items_of(file):
                yield f"{file.stem}:{key}", _row(row, folder)


def _row(row: object, folder: str | None) -> object:
    if not isinstance(row, dict):
        return row
    video, question = row.get("video", row.get("video_name")), row.get("question")
    given = {name: row.get(name) for name in ("answer", "duration")}
    return {
        "video": f"{folder}/{video}" if folder else video,
        "question": question_stem(question) if isinstance(question, str) else question,
        "options": row.get("candidates"),
        "category": row.get("question_type", row.get("task_type")),
        **({"id": row["question_id"]} if "question_id" in row else {}),
        **given,
    }
