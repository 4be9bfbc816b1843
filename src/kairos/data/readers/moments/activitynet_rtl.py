"""Reads ActivityNet-RTL (NVlabs/LITA), questions that need reasoning to say when: annot_val_1_q229.json."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from kairos.core.bracketed import Bracketed
from kairos.core.types import Target, VideoSource
from kairos.data.readers.annotation_file import AnnotationFile
from kairos.data.readers.fields import Fields
from kairos.data.readers.files import items_of
from kairos.data.records import Record


@dataclass(frozen=True)
class ActivityNetRTL(AnnotationFile[object]):
    """Rows of {question_id, vid, duration, question, answer "<s> <e> why"}; videos are v_<vid>.mp4, times in seconds.

    The annotated times are put in order and cut to the clip, as LITA does. Written to the schema of its evaluation.
    """

    published = MappingProxyType({"test": 229})

    def rows(self) -> list[tuple[str, object]]:
        return items_of(self.file)

    def record(self, key: str, row: object) -> Record:
        fields = Fields.of(self.where(key), row)
        found = next(Bracketed().find(fields.text("answer")), None)
        if found is None:
            fields.fail(f"`answer` must hold <start> and <end>, got {fields.text('answer')[:80]!r}; correct the row")
        duration = fields.seconds("duration")
        start, end = sorted(min(max(time, 0.0), duration) for time in found.span)
        vid = fields.text("vid")
        return Record(
            uid=f"activitynet_rtl/{self.file.stem}:{fields.values.get('question_id', key)}",
            task="grounding",
            source="activitynet_rtl",
            video=VideoSource(self.find(key, vid if vid.startswith("v_") else f"v_{vid}", (".mp4", ".mkv", ".webm"))),
            question=fields.text("question"),
            target=Target(spans=(self.span(key, start, end, duration),)),
            duration=duration,
        )
