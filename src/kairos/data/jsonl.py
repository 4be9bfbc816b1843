"""A generic annotation file: one JSON object a line, for data of one's own.

| field | |
|---|---|
| `video` | required: a video file or a folder of frames, relative to `videos` |
| `question` | required: the caption to find, or the question to answer |
| `task` | grounding (default), choice, grounded_qa, needle, or a name of one's own |
| `spans` | [[start, end], ...] in seconds from the start of the clip; required for grounding and grounded_qa |
| `options`, `choice` | ["a dog", "a cat"] and "B"; required for choice, grounded_qa and needle |
| `evidence` | [[start, end], ...]: the seconds that prove the choice |
| `demonstration` | a written-out reasoning, without the answer |
| `start`, `end` | the part of the video that is meant, in seconds of the video; times above count from `start` |
| `fps` | frames a second of a folder of frames; required for one |
| `duration` | seconds of the clip |
| `uid`, `source` | stable name of the row (default: file and row), name of the data set (default: the file's) |

Other fields are not read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kairos.core.spans import Span
from kairos.core.types import Failure, Target, VideoSource
from kairos.data.reading import (
    AnnotationError,
    MissingVideo,
    OnProblem,
    Reading,
    check_choice,
    checked_span,
    read_rows,
    report,
)
from kairos.data.records import Record

_NEEDS = {
    "grounding": ("spans",),
    "choice": ("options", "choice"),
    "grounded_qa": ("spans", "options", "choice"),
    "needle": ("options", "choice"),
}
_LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True)
class Jsonl:
    """Records of a JSONL file; the fields are those of this module's table.

    A row whose video is absent is counted and named (`missing="error"` stops instead); a row that cannot be used
    stops the reading (`invalid="skip"` counts and names it instead). `clamp` cuts spans to the clip's duration;
    without it a span that ends later is kept as annotated and counted.
    """

    annotations: str
    videos: str = "."
    missing: OnProblem = "skip"
    invalid: OnProblem = "error"
    clamp: bool = False

    def __post_init__(self) -> None:
        check_choice(missing=self.missing, invalid=self.invalid)

    def records(self) -> list[Record]:
        """The usable rows; what is left out is logged once. ValueError where nothing is left."""
        return report(Path(self.annotations), self.read())

    def missing_videos(self) -> tuple[Failure, ...]:
        """The rows whose video is absent."""
        return self.read().missing

    def read(self) -> Reading:
        file = Path(self.annotations)
        lines = file.read_text(encoding="utf-8").splitlines()
        while lines and not lines[-1].strip():
            lines.pop()
        return read_rows(file, lines, self._record, self.missing, self.invalid)

    def _record(self, number: int, line: str) -> Record:
        file = Path(self.annotations)
        row = _Fields(f"{file}, row {number}", line)
        task = row.text("task", "grounding")
        for name in ("video", "question", *_NEEDS.get(task, ())):
            row.require(name, f"a row of task {task} needs it")
        source = self._video(row)
        duration = row.number("duration")
        if duration is None and source.end is not None:
            duration = source.end - (source.start or 0.0)
        options, choice = row.texts("options"), row.text("choice", "") or None
        if choice is not None and choice not in _LETTERS[: len(options)]:
            row.fail(f"choice {choice!r} is none of its {len(options)} options; write a letter from A on")
        return Record(
            uid=row.text("uid", f"{file.stem}:{number}"),
            task=task,
            source=row.text("source", file.stem),
            video=source,
            question=row.text("question", ""),
            target=Target(
                spans=row.spans("spans", duration, self.clamp),
                choice=choice,
                evidence=row.spans("evidence", duration, self.clamp),
                demonstration=row.text("demonstration", "") or None,
            ),
            options=options,
            duration=duration,
        )

    def _video(self, row: _Fields) -> VideoSource:
        path = Path(self.videos) / row.text("video", "")
        source = VideoSource(str(path), row.number("start"), row.number("end"), row.number("fps"))
        start, end = source.start or 0.0, source.end
        if start < 0 or (end is not None and end <= start):
            row.fail(f"the sub-clip {start:g} to {end} has no length; correct `start` and `end`")
        if path.is_dir() and not (source.fps and source.fps > 0):
            row.fail(f"{path} is a folder of frames; give its `fps`, frames a second")
        if not path.exists():
            raise MissingVideo(f"{row.where}: no video {path}; put it there, or leave such rows out with missing=skip")
        return source


class _Fields:
    """One row's fields, each checked when it is asked for."""

    def __init__(self, where: str, line: str) -> None:
        self.where = where
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            self.fail(f"not JSON ({error.msg}, column {error.colno}); write one JSON object a line")
        if not isinstance(values, Mapping):
            self.fail("not a JSON object; write {...}, one a line")
        self.values: Mapping[str, object] = values

    def fail(self, problem: str) -> None:
        raise AnnotationError(f"{self.where}: {problem}")

    def require(self, name: str, why: str) -> None:
        if self.values.get(name) in (None, "", [], ()):
            self.fail(f"no `{name}`; {why}")

    def text(self, name: str, default: str) -> str:
        value = self.values.get(name, default)
        if not isinstance(value, str):
            self.fail(f"`{name}` must be text, got {value!r}")
        return str(value)

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fail(f"`{name}` must be a list of texts, got {value!r}")
        return tuple(value)  # type: ignore[arg-type]

    def number(self, name: str) -> float | None:
        value = self.values.get(name)
        if value is None:
            return None
        if not _is_number(value) or not abs(value) < float("inf"):  # type: ignore[arg-type]
            self.fail(f"`{name}` must be a number of seconds (fps: frames a second), got {value!r}")
        return float(value)  # type: ignore[arg-type]

    def spans(self, name: str, duration: float | None, clamp: bool) -> tuple[Span, ...]:
        value = self.values.get(name, [])
        shaped = isinstance(value, list) and all(
            isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair)) for pair in value
        )
        if not shaped:
            self.fail(f"`{name}` must be [[start, end], ...] in seconds, got {value!r}")
        remedy = f"correct `{name}`, or leave such rows out with invalid=skip"
        return tuple(
            checked_span(float(start), float(end), self.where, remedy, duration, clamp)
            for start, end in value  # type: ignore[union-attr]
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
