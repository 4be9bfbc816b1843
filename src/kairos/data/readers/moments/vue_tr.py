"""Reads VUE-TR and VUE-TR-V2 (bytedance/vidi): all spans of a query in videos of seconds to hours."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from kairos.core.types import Target, VideoSource
from kairos.data.readers.annotation_file import AnnotationFile
from kairos.data.readers.fields import Fields
from kairos.data.readers.files import items_of
from kairos.data.records import Record

_ATTRIBUTES = ("duration_category", "query_format", "query_modality")


@dataclass(frozen=True)
class VueTR(AnnotationFile[object]):
    """Rows of {query_id, video_id, duration, query, gt, duration_category, query_format, query_modality}.

    Times are whole seconds. Queries about sounds (modality audio, vision+audio) are asked too.
    """

    published = MappingProxyType({"v1": 1_598, "v2": 1_600})

    attribute: Literal["duration_category", "query_format", "query_modality"] = "duration_category"
    """By which scores are told apart."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.attribute not in _ATTRIBUTES:
            raise ValueError(f"attribute must be one of {', '.join(_ATTRIBUTES)}, got {self.attribute!r}")

    def rows(self) -> list[tuple[str, object]]:
        return items_of(self.file)

    def record(self, key: str, row: object) -> Record:
        fields = Fields.of(self.where(key), row)
        fields.require("gt", "a query needs [[start, end], ...] in seconds; take the file of the ground truth")
        duration = fields.seconds("duration")
        return Record(
            uid=f"vue_tr/{self.file.stem}:{fields.values.get('query_id', key)}",
            task="grounding",
            source="vue_tr",
            video=VideoSource(self.find(key, fields.text("video_id"), (".mp4", ".mkv", ".webm"))),
            question=fields.text("query"),
            target=Target(spans=tuple(self.span(key, *pair, duration) for pair in fields.pairs("gt"))),
            duration=duration,
            category=fields.text(self.attribute, ""),
        )
