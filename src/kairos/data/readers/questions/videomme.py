"""Reads Video-MME: 2,700 questions about 900 short, medium and long videos, <videoID>.mp4."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from kairos.data.readers.multiple_choice import MultipleChoice


@dataclass(frozen=True)
class VideoMME(MultipleChoice):
    """Rows of {videoID, question_id, question, options ["A. ..."], answer "C", task_type, duration "short"}."""

    published = MappingProxyType({"test": 2_700})
    calls = MappingProxyType(
        {
            "video": "videoID", "question": "question", "options": "options", "answer": "answer",
            "category": "duration", "id": "question_id",
        }
    )  # fmt: skip

    source: str | None = "videomme"
