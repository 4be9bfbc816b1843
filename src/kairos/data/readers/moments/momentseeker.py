"""Reads MomentSeeker's text queries (t2v.json) as TimeLens2 grounds them: all spans of a query."""

from __future__ import annotations

from dataclasses import dataclass

from kairos.core.types import Target, VideoSource
from kairos.data.readers.annotation_file import AnnotationFile
from kairos.data.readers.fields import Fields
from kairos.data.readers.files import items_of
from kairos.data.records import Record


@dataclass(frozen=True)
class MomentSeeker(AnnotationFile[object]):
    """Rows of {src_video_path, qry_text, answering_time_interval, task}; times in seconds.

    Written to the schema that TimeLens2's evaluation reads. The original benchmark retrieves clips; its numbers of rows
    are not known here, so none is checked.
    """

    def rows(self) -> list[tuple[str, object]]:
        return items_of(self.file)

    def record(self, key: str, row: object) -> Record:
        fields = Fields.of(self.where(key), row)
        fields.require("answering_time_interval", "a query needs [[start, end], ...] in seconds")
        return Record(
            uid=f"momentseeker/{self.file.stem}:{key}",
            task="grounding",
            source="momentseeker",
            video=VideoSource(self.find(key, fields.text("src_video_path"))),
            question=fields.text("qry_text"),
            target=Target(spans=tuple(self.span(key, *pair) for pair in fields.pairs("answering_time_interval"))),
            category=fields.text("task", ""),
        )
