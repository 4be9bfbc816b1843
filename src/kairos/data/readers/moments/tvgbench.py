"""Reads TVGBench (tvgbench.json of Time-R1): 800 events of five data sets, with the kind of each query."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType

from kairos.core.types import Target, VideoSource
from kairos.data.readers.annotation_file import AnnotationFile
from kairos.data.readers.fields import Fields
from kairos.data.readers.files import items_of
from kairos.data.records import Record

_ANSWER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*")


@dataclass(frozen=True)
class TVGBench(AnnotationFile[object]):
    """Rows of {path, question, answer "13.4-28.1", duration, dataset_name, qsemtype, start, end}; times in seconds.

    Videos are looked up by file name below `videos`. `start` and `end`, where they are numbers, are the clip's part of
    the video; they are null for files that are cut already.
    """

    published = MappingProxyType({"test": 800})

    def rows(self) -> list[tuple[str, object]]:
        return items_of(self.file)

    def record(self, key: str, row: object) -> Record:
        fields = Fields.of(self.where(key), row)
        found = _ANSWER.fullmatch(fields.text("answer"))
        if found is None:
            fields.fail(f'`answer` must be "start-end" in seconds, got {fields.text("answer")!r}; correct the row')
        duration = fields.seconds("duration")
        name = PurePosixPath(fields.text("path")).name
        return Record(
            uid=f"tvgbench/{self.file.stem}:{key}",
            task="grounding",
            source=fields.text("dataset_name", "tvgbench"),
            video=VideoSource(self.find(key, name), *fields.part()),
            question=fields.text("question"),
            target=Target(spans=(self.span(key, float(found[1]), float(found[2]), duration),)),
            duration=duration,
            category=fields.text("qsemtype", ""),
        )
