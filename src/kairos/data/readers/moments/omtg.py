"""Reads OMTG (arXiv 2606.06294), a tsv of id, video, question, answer: 2 to 20 spans a question."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

from kairos.core.types import Target, VideoSource
from kairos.data.readers.annotation_file import AnnotationFile
from kairos.data.readers.fields import Fields
from kairos.data.readers.files import csv_rows, text_of
from kairos.data.records import Record

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(?:seconds|s)?\s*(?:-|to|,)\s*(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class OMTG(AnnotationFile[dict[str, str]]):
    """Times in seconds; the answer's spans are written `<time>a - b seconds</time>`, or as plain ranges.

    Written to the schema that VLMEvalKit's omtgbench.py reads; no row of it was to be had.
    """

    published = MappingProxyType({"test": 320})

    def rows(self) -> Iterator[tuple[str, dict[str, str]]]:
        yield from csv_rows(text_of(self.file), "\t")

    def record(self, key: str, row: dict[str, str]) -> Record:
        fields = Fields.of(self.where(key), row)
        times = [(float(start), float(end)) for start, end in _SPAN.findall(fields.text("answer"))]
        if not times:
            fields.fail(f"no span in `answer` {fields.text('answer')[:80]!r}; write <time>3.5 - 6 seconds</time>")
        return Record(
            uid=f"omtg/{self.file.stem}:{row.get('id') or key}",
            task="grounding",
            source="omtg",
            video=VideoSource(self.find(key, fields.text("video"), ("", ".mp4"))),
            question=fields.text("question"),
            target=Target(spans=tuple(self.span(key, *pair) for pair in times)),
        )
