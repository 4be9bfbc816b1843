"""Reads LVBench (video_info.meta.jsonl): a video a line with its questions, 1,549 about 103 videos."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

from kairos.data.readers.files import items_of
from kairos.data.readers.multiple_choice import MultipleChoice

_OPTION = re.compile(r"\n(?=\([A-H]\))")


@dataclass(frozen=True)
class LVBench(MultipleChoice):
    """Lines of {key, type, qa: [{uid, question "stem\\n(A) ...", answer "D", question_type [...], time_reference}]}.

    Videos are <key>.mp4. A question can be of several types: its category names them all, joined by " + ".
    """

    published = MappingProxyType({"test": 1_549})

    source: str | None = "lvbench"

    def rows(self) -> Iterator[tuple[str, object]]:
        for line, video in items_of(self.file):
            listed = video.get("qa") if isinstance(video, dict) else None
            if not isinstance(video, dict) or not isinstance(listed, list) or not listed:
                yield line, video
                continue
            for number, asked in enumerate(listed, start=1):
                key = f"{line}:{number}"
                yield key, _flat(video.get("key"), asked) if isinstance(asked, dict) else asked


def _flat(video: object, asked: dict[str, object]) -> dict[str, object]:
    text, kinds = asked.get("question"), asked.get("question_type")
    stem, *options = _OPTION.split(text) if isinstance(text, str) else [text]
    category = " + ".join(str(kind) for kind in kinds) if isinstance(kinds, list) else ""
    said = {"answer": asked.get("answer"), "id": asked.get("uid"), "category": category}
    return {"video": video, "question": stem, "options": options, **said}
