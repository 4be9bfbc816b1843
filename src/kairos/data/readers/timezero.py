"""Reads TimeZero's annotations of Charades and ActivityNet: `{video: {duration, timestamps, sentences}}`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from kairos.core.spans import Span
from kairos.core.types import Target, VideoSource
from kairos.data.readers.annotation_file import AnnotationFile
from kairos.data.readers.fields import Fields
from kairos.data.readers.files import table_of
from kairos.data.records import Record
from kairos.data.templates.time_r1 import events

VideoRow = tuple[str, object, int]


@dataclass(frozen=True)
class TimeZeroJson(AnnotationFile[VideoRow]):
    """One record for each sentence, with the key `<video>:<number of the sentence>` and times in seconds.

    The duration is `duration`, or `video_duration` as in Charades-CD (the iid and ood files).
    """

    asked: ClassVar[str] = "sentences"
    """The file's name of the sentences."""
    times: ClassVar[str] = "timestamps"
    """The file's name of the spans."""

    source: str = "timezero"
    """Name of the data set."""
    suffixes: Sequence[str] = (".mp4", ".mkv", ".webm")
    """Appended to `<video>`; the first file that exists is taken."""
    events: bool = False
    """Each record's demonstration is all sentences of its video with their times (Time-R1's cold start)."""

    def rows(self) -> Iterator[tuple[str, VideoRow]]:
        for video, row in table_of(self.file).items():
            sentences = row.get(self.asked) if isinstance(row, dict) else None
            for number in range(len(sentences) if isinstance(sentences, list) and sentences else 1):
                yield f"{video}:{number + 1}", (video, row, number)

    def record(self, key: str, row: VideoRow) -> Record:
        video, value, number = row
        fields = Fields.of(self.where(key), value)
        sentences, times = fields.texts(self.asked), fields.pairs(self.times)
        if not sentences or len(sentences) != len(times):
            fields.fail(
                f"{len(sentences)} `{self.asked}` but {len(times)} `{self.times}`; give one [start, end] a sentence"
            )
        duration = fields.seconds("video_duration" if "video_duration" in fields.values else "duration")
        captions = [(Span(*time), sentence) for time, sentence in zip(times, sentences, strict=True)]
        return Record(
            uid=f"{self.source}/{video}/{self.file.stem}:{number + 1}",
            task="grounding",
            source=self.source,
            video=VideoSource(self.find(key, video, self.suffixes)),
            question=sentences[number].strip(),
            target=Target(
                spans=(self.span(key, *times[number], duration),),
                demonstration=events(captions) if self.events else None,
            ),
            duration=duration,
        )
