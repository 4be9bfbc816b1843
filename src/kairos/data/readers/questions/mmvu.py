"""Reads the multiple-choice questions of MMVU's validation split (validation.json)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kairos.data.readers.multiple_choice import MultipleChoice


@dataclass(frozen=True)
class MMVU(MultipleChoice):
    """Rows of {id, video, question_type, metadata {subject}, question, choices {A: ..., E: ...}, answer}.

    625 of the 1,000 rows are multiple choice; the open ones, which a judge rates, count among the unusable rows. The
    category is the subject. The test split hides its answers. Written to the published schema.
    """

    published = MappingProxyType({"val": 1_000})
    calls = MappingProxyType(
        {
            "video": "video", "question": "question", "options": "choices", "answer": "answer",
            "category": "metadata", "id": "id",
        }
    )  # fmt: skip

    source: str | None = "mmvu"

    def adapted(self, values: dict[str, object]) -> Mapping[str, object]:
        choices, about = values.get("options"), values.get("category")
        options = [choices[k] for k in sorted(choices) if choices[k]] if isinstance(choices, dict) else choices
        subject = about.get("subject", "") if isinstance(about, dict) else ""
        video = values.get("video")
        name = video.rsplit("/", 1)[-1] if isinstance(video, str) and "://" in video else video
        return {**values, "video": name, "options": options, "category": subject}
