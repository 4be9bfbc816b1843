"""Reads our generic JSONL format: one JSON object a line, for your own data.

| field | |
|---|---|
| `video` | required: a video file or a folder of frames, relative to `videos` |
| `question` | required: the caption to find, or the question to answer |
| `task` | grounding (default), choice, grounded_qa, needle, or your own name |
| `spans` | [[start, end], ...] in seconds from the start of the clip; required for grounding and grounded_qa |
| `options`, `choice` | ["a dog", "a cat"] and "B"; required for choice, grounded_qa and needle |
| `evidence` | [[start, end], ...]: the seconds that prove the choice |
| `highlights` | [[seconds, saliency], ...] |
| `demonstration` | a written-out reasoning, without the answer |
| `start`, `end` | the clip's part of the video, in seconds of the video; the times above count from `start` |
| `fps` | frames a second of a folder of frames; required for one |
| `duration` | seconds of the clip |
| `difficulty` | a number on a scale of your own, for filters |
| `uid`, `source` | stable name of the row (default: file and row), name of the data set (default: the file's) |

Other fields are ignored. With `unlabelled="keep"` neither `spans` nor `choice` is required: such a row is answered, and
has no score.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kairos.core.spans import Span
from kairos.core.types import Target, VideoSource
from kairos.data.readers.annotation_file import AnnotationFile, OnProblem
from kairos.data.readers.fields import Fields
from kairos.data.readers.files import lines_of
from kairos.data.records import LETTERS, Record

_NEEDS = {
    "grounding": ("spans",),
    "choice": ("options", "choice"),
    "grounded_qa": ("spans", "options", "choice"),
    "needle": ("options", "choice"),
}
_TRUTH = ("spans", "choice")
_UNTIL = "; to have such rows answered, without a score, evaluate them (unlabelled=keep)"


@dataclass(frozen=True)
class Jsonl(AnnotationFile[str]):
    """Records of a JSONL file; the fields are those of this module's table.

    Unlike in other readers, an unusable row stops the reading (`invalid="skip"` counts it instead).
    """

    videos: str = "."
    invalid: OnProblem = field(default="error", kw_only=True)
    unlabelled: Literal["error", "keep"] = field(default="error", kw_only=True)
    """A row that asks and does not say what is right: stop, or keep it, to be answered without a score."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.unlabelled not in ("error", "keep"):
            raise ValueError(f"unlabelled must be error or keep, got {self.unlabelled!r}")

    def rows(self) -> list[tuple[str, str]]:
        return lines_of(self.file)

    def record(self, key: str, row: str) -> Record:
        fields = Fields.parse(self.where(key), row)
        task = fields.text("task", "grounding")
        for name in ("video", "question", *_NEEDS.get(task, ())):
            if name in _TRUTH and self.unlabelled == "keep":
                continue
            fields.require(name, f"a row of task {task} needs it{_UNTIL if name in _TRUTH else ''}")
        source = self._video(key, fields)
        duration = fields.number("duration")
        if duration is None and source.end is not None:
            duration = source.end - (source.start or 0.0)
        options, choice = fields.texts("options"), fields.text("choice", "") or None
        if choice is not None and choice not in LETTERS[: len(options)]:
            fields.fail(f"choice {choice!r} is none of its {len(options)} options; write a letter from A on")
        return Record(
            uid=fields.text("uid", f"{self.file.stem}:{key}"),
            task=task,
            source=fields.text("source", self.file.stem),
            video=source,
            question=fields.text("question"),
            target=Target(
                spans=self._spans(key, fields, "spans", duration),
                choice=choice,
                evidence=self._spans(key, fields, "evidence", duration),
                highlights=fields.finite_pairs("highlights", "[[seconds, saliency], ...]"),
                demonstration=fields.text("demonstration", "") or None,
            ),
            options=options,
            duration=duration,
            difficulty=fields.number("difficulty", "a number"),
        )

    def _spans(self, key: str, fields: Fields, name: str, duration: float | None) -> tuple[Span, ...]:
        remedy = f"correct `{name}`, or leave such rows out with invalid=skip"
        return tuple(self.span(key, start, end, duration, remedy) for start, end in fields.pairs(name))

    def _video(self, key: str, fields: Fields) -> VideoSource:
        path = Path(self.videos) / fields.text("video")
        source = VideoSource(str(path), fields.number("start"), fields.number("end"), fields.number("fps"))
        start, end = source.start or 0.0, source.end
        if start < 0 or (end is not None and end <= start):
            fields.fail(f"the sub-clip {start:g} to {end} has no length; correct `start` and `end`")
        if os.path.isdir(path) and not (source.fps and source.fps > 0):  # noqa: PTH112 - takes any name
            fields.fail(f"{path} is a folder of frames; give its `fps`, frames a second")
        self.find(key, fields.text("video"))
        return source
