"""Reads TimeLens-100K: a video a line, `source, video_path, duration, events: [{query, span: [[start, end]]}]`."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass

from kairos.core.types import Target, VideoSource
from kairos.data.readers.annotation_file import AnnotationFile
from kairos.data.readers.fields import Fields
from kairos.data.readers.files import items_of
from kairos.data.records import Record

_log = logging.getLogger(__name__)
_AUDIO = re.compile(r"\b(hear|heard|hears|hearing|sound|sounded|sounds|sounding|audio)\b", re.IGNORECASE)
EventRow = tuple[object, int, object]


@dataclass(frozen=True)
class TimeLens(AnnotationFile[EventRow]):
    """One record for each event (TimeLens, arXiv 2512.14698), with the key `<line>:<event>` and times in seconds."""

    audio: bool = False
    """Keep queries about sounds; otherwise those with one of TimeLens' nine words (as whole words) are dropped."""

    def rows(self) -> Iterator[tuple[str, EventRow]]:
        total = dropped = 0
        for line, row in items_of(self.file):
            events = row.get("events") if isinstance(row, dict) else None
            for number, event in enumerate(events if isinstance(events, list) and events else [None], start=1):
                query = event.get("query") if isinstance(event, dict) else None
                total += 1
                if not self.audio and isinstance(query, str) and _AUDIO.search(query):
                    dropped += 1
                else:
                    yield f"{line}:{number}", (row, number, event)
        if dropped:
            _log.warning(
                "%s: %d of %d queries need the sound: left out (audio=true keeps them)", self.file, dropped, total
            )

    def record(self, key: str, row: EventRow) -> Record:
        video, _, event = row
        fields = Fields.of(self.where(key), video)
        if event is None:
            fields.fail("no `events`; a row needs a list of {query, span}")
        asked = Fields.of(f"{self.where(key)}, events", event)
        duration = fields.seconds("duration")
        asked.require("span", "an event needs [[start, end], ...] in seconds")
        source = fields.text("source", "timelens")
        return Record(
            uid=f"timelens/{self.file.stem}:{key}",
            task="grounding",
            source=source,
            video=VideoSource(self.find(key, fields.text("video_path"))),
            question=" ".join(asked.text("query").split()),
            target=Target(spans=tuple(self.span(key, *pair, duration) for pair in asked.pairs("span"))),
            duration=duration,
        )
