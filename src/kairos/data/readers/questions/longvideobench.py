"""Reads LongVideoBench's validation split: 1,337 questions about 753 videos of four groups of duration."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from kairos.data.readers.multiple_choice import MultipleChoice


@dataclass(frozen=True)
class LongVideoBench(MultipleChoice):
    """Rows of {video_path, question, candidates, correct_choice (from 0), duration_group, question_category, id}.

    The category is the group of duration (15, 60, 600, 3600 s). Subtitles are not read. The test split has no answers.
    """

    published = MappingProxyType({"val": 1_337})
    calls = MappingProxyType(
        {
            "video": "video_path", "question": "question", "options": "candidates", "answer": "correct_choice",
            "category": "duration_group", "id": "id",
        }
    )  # fmt: skip

    source: str | None = "longvideobench"
