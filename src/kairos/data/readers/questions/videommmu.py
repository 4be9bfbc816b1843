"""Reads one track of Video-MMMU (Adaptation, Perception, Comprehension): 300 questions, up to ten options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kairos.data.readers.files import table_of
from kairos.data.readers.multiple_choice import MultipleChoice


@dataclass(frozen=True)
class VideoMMMU(MultipleChoice):
    """{track: {"0": {id, question, options, answer, question_type}}}; videos are <id>.mp4, the category the track.

    The questions of the adaptation track refer to an image (<image 1>), which its videos show at their end. Open
    questions, which have no options (20 of the 300 of the adaptation track), count among the unusable rows.
    """

    published = MappingProxyType({"track": 300, "all": 900})
    calls = MappingProxyType(
        {
            "video": "id", "question": "question", "options": "options", "answer": "answer",
            "category": "track", "id": "id",
        }
    )  # fmt: skip

    source: str | None = "videommmu"

    def rows(self) -> Iterator[tuple[str, object]]:
        for track, rows in table_of(self.file).items():
            for key, row in rows.items() if isinstance(rows, Mapping) else []:
                yield f"{track}:{key}", {**row, "track": track} if isinstance(row, Mapping) else row
