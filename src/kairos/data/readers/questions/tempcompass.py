"""Reads TempCompass' multiple choice and yes/no questions (questions/<task>.json), 410 videos."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

from kairos.data.readers.files import table_of
from kairos.data.readers.multiple_choice import MultipleChoice

_OPTION = re.compile(r"\n(?=[A-D]\. )")


@dataclass(frozen=True)
class TempCompass(MultipleChoice):
    """{video: {dimension: [{question "stem\\nA. ...", answer "B. ..."}]}}; the category is the dimension.

    A question answered by yes or no gets the options ("yes", "no"): ask it with template=tempcompass_yes_no. Caption
    matching and captioning, which a judge rates, are not read.
    """

    published = MappingProxyType({"multi-choice": 1_580, "yes_no": 2_453})

    source: str | None = "tempcompass"

    def rows(self) -> Iterator[tuple[str, object]]:
        for video, dimensions in table_of(self.file).items():
            for dimension, asked in dimensions.items() if isinstance(dimensions, dict) else []:
                for number, row in enumerate(asked if isinstance(asked, list) else [asked], start=1):
                    yield f"{video}:{dimension}:{number}", _row(video, str(dimension), row)


def _row(video: str, dimension: str, row: object) -> object:
    if not isinstance(row, dict):
        return row
    text, answer = row.get("question"), row.get("answer")
    stem, *options = _OPTION.split(text) if isinstance(text, str) else [text]
    if not options and isinstance(answer, str) and answer.lower() in ("yes", "no"):
        options, answer = ["yes", "no"], answer.lower()
    return {"video": video, "question": stem, "options": options, "answer": answer, "category": dimension}
