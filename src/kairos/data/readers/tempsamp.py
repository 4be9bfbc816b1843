"""Reads TempSamp-R1's training file: one event a line with its written prompt and answer, and its difficulty."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from kairos.core.types import Target, VideoSource
from kairos.data.readers.annotation_file import AnnotationFile
from kairos.data.readers.fields import Fields
from kairos.data.readers.files import items_of
from kairos.data.records import Record

_EVENT = re.compile(r'the event "(.+)" in the video', re.DOTALL)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_KIND = "temporal grounding"


@dataclass(frozen=True)
class TempSampJsonl(AnnotationFile[object]):
    """Rows of timelens_grpo_train.jsonl: `problem`, `answer` ("<answer> 98.0 to 103.0 </answer>", or {"time": [98.0,
    103.0]}), `problem_type`, `videos` (one path below `videos`), `difficulty`, `duration`; times in seconds.

    The question is the event in the quotes of `problem`: our templates word the prompt. `difficulty` is presumably 1 -
    IoU of a reference model, as in TimeLens (the authors do not say). `source` is the folder of the video.
    """

    def rows(self) -> list[tuple[str, object]]:
        return items_of(self.file)

    def record(self, key: str, row: object) -> Record:
        fields = Fields.of(self.where(key), row)
        kind = fields.text("problem_type", _KIND)
        if kind != _KIND:
            fields.fail(
                f"`problem_type` {kind!r} is not read here, only {_KIND!r}; leave the row out with invalid=skip"
            )
        event = _EVENT.search(fields.text("problem"))
        if event is None:
            fields.fail(f"`problem` names no event in quotes: {fields.text('problem')[:80]!r}; correct the row")
        times = [float(number) for number in _NUMBER.findall(str(fields.values.get("answer", "")))]
        if len(times) != 2:
            fields.fail(f"`answer` must hold a start and an end, got {fields.values.get('answer')!r}; correct the row")
        videos = fields.texts("videos")
        if len(videos) != 1:
            fields.fail(f"`videos` must be a list of one path, got {len(videos)}; correct the row")
        duration = fields.seconds("duration")
        return Record(
            uid=f"tempsamp/{self.file.stem}:{key}",
            task="grounding",
            source=PurePosixPath(videos[0]).parent.name or "tempsamp",
            video=VideoSource(self.find(key, videos[0])),
            question=event[1],
            target=Target(spans=(self.span(key, times[0], times[1], duration),)),
            duration=duration,
            difficulty=fields.number("difficulty", "a number"),
        )
