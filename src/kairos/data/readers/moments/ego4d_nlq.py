"""Reads Ego4D-NLQ: the official nested JSON, or TimeLens2's flat rows (ego4d_nlq_val_v2.jsonl)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kairos.core.types import Target, VideoSource
from kairos.data.readers.annotation_file import AnnotationFile
from kairos.data.readers.fields import Fields
from kairos.data.readers.files import items_of, table_of
from kairos.data.records import Record

_PREFIX = "query text:"


@dataclass(frozen=True)
class Ego4DNLQ(AnnotationFile[object]):
    """Official: videos > clips > annotations > language_queries of {clip_start_sec, clip_end_sec, query, template}.

    Flat: {video_id, query_id, query, duration, timestamps, query_type}. Times in seconds of the clip; videos are
    <clip_uid>.mp4, or <video_id>.mp4. About 14 % of the official queries (v1) have no length: they count among the
    unusable rows. Written to the schemas that the released code reads; the data stand under a signed licence.
    """

    def rows(self) -> Iterator[tuple[str, object]]:
        yield from items_of(self.file) if self.file.suffix == ".jsonl" else self._official()

    def _official(self) -> Iterator[tuple[str, object]]:
        for video in _listed(table_of(self.file), "videos"):
            for clip in _listed(video, "clips"):
                for annotation in _listed(clip, "annotations"):
                    for number, query in enumerate(_listed(annotation, "language_queries")):
                        key = f"{clip.get('clip_uid')}_{annotation.get('annotation_uid')}_{number}"
                        yield key, {"video_id": clip.get("clip_uid"), "query_id": key, **query}

    def record(self, key: str, row: object) -> Record:
        fields = Fields.of(self.where(key), row)
        start, end = fields.number("clip_start_sec"), fields.number("clip_end_sec")
        if start is None or end is None:
            fields.require("timestamps", "a query needs [[start, end]] in seconds, or clip_start_sec and clip_end_sec")
        times = fields.pairs("timestamps") if start is None or end is None else ((start, end),)
        query = fields.text("query").strip()
        query = query[len(_PREFIX) :].strip() if query.lower().startswith(_PREFIX) else query
        duration = fields.number("duration")
        return Record(
            uid=f"ego4d_nlq/{self.file.stem}:{fields.values.get('query_id', key)}",
            task="grounding",
            source="ego4d_nlq",
            video=VideoSource(self.find(key, fields.text("video_id"), (".mp4", ""))),
            question=query,
            target=Target(spans=tuple(self.span(key, *pair, duration) for pair in times)),
            duration=duration,
            category=str(fields.values.get("query_type") or fields.values.get("template") or ""),
        )


def _listed(value: object, name: str) -> list[dict[str, object]]:
    """The objects of a list under `name`; empty where there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
