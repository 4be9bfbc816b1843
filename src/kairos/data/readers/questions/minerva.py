"""Reads MINERVA (google-deepmind/neptune): 1,515 questions about 223 videos, five options each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

from kairos.data.readers.files import items_of
from kairos.data.readers.multiple_choice import MultipleChoice


@dataclass(frozen=True)
class MINERVA(MultipleChoice):
    """Rows of {key, video_id, question, answer_choice_0 ... answer_choice_4, answer_id, split, category}.

    Written to the published schema. EasyVideoR1's file holds 1,431 of the rows (data=easyvideor1).
    """

    published = MappingProxyType({"test": 1_515})

    source: str | None = "minerva"

    def rows(self) -> Iterator[tuple[str, object]]:
        for key, row in items_of(self.file):
            yield key, _row(row) if isinstance(row, dict) else row


def _row(row: dict[str, object]) -> dict[str, object]:
    options = [row[name] for name in sorted(row) if name.startswith("answer_choice_")]
    said = {"video": row.get("video_id"), "question": row.get("question"), "options": options}
    return {**said, "answer": row.get("answer_id"), "category": str(row.get("category", "")), "id": row.get("key")}
