"""Reads MLVU: the seven files of its dev split, or one of them, or its questions in one list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
            yield from items_of(self.file)
            return
        for file in sorted(self.file.glob("*.json")):
            for key, row in items_of(file):
                yield f"{file.stem}:{key}", _in_folder(row, file.stem, Path(self.videos))

    def adapted(self, values: dict[str, object]) -> Mapping[str, object]:
        question = values.get("question")
        return {**values, "question": question_stem(question) if isinstance(question, str) else question}

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = {
            "video": "video", "question": "question", "options": "candidates", "answer": "answer",
            "duration": "duration", "category": "question_type", "id": "question_id",
        }  # fmt: skip
        object.__setattr__(self, "names", {**unknown, **self.names})


def _in_folder(row: object, folder: str, videos: Path) -> object:
    """The row with its video in the folder of its file, where there is such a folder."""
    if isinstance(row, dict) and isinstance(row.get("video"), str) and (videos / folder).is_dir():
        return {**row, "video": f"{folder}/{row['video']}"}
    return row
