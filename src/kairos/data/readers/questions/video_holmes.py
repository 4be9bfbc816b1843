"""Reads Video-Holmes: 1,837 questions about 270 short films, six options each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kairos.data.readers.multiple_choice import MultipleChoice


@dataclass(frozen=True)
class VideoHolmes(MultipleChoice):
    """Rows of {"video ID", "Question ID", "Question Type", Question, Options {A: ..., F: ...}, Answer}."""

    published = MappingProxyType({"test": 1_837})
    calls = MappingProxyType(
        {
            "video": "video ID", "question": "Question", "options": "Options", "answer": "Answer",
            "category": "Question Type", "id": "Question ID",
        }
    )  # fmt: skip

    source: str | None = "video_holmes"

    def adapted(self, values: dict[str, object]) -> Mapping[str, object]:
        options = values.get("options")
        return {**values, "options": [options[k] for k in sorted(options)]} if isinstance(options, dict) else values
