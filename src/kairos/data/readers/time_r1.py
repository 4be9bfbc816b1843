"""Reads Time-R1's training file (train_2k5.json): events in clips, some cut from longer videos, with a difficulty."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kairos.core.types import Target, VideoSource
from kairos.data.readers.annotation_file import AnnotationFile
from kairos.data.readers.fields import Fields, as_pairs
from kairos.data.readers.files import items_of
from kairos.data.records import Record

_SOURCE = "time_r1"  # where a row does not say
_CUT = re.compile(r"(_\d\d:\d\d:\d\d:\d{3}){2}$")  # 4jujhM5qhEc_00:00:39:000_00:01:24:700: cut by whoever made the set


@dataclass(frozen=True)
class TimeR1Json(AnnotationFile[object]):
    """2,500 events; `timestamp` counts from the start of the clip, `duration` is the clip's.

    Videos are looked up by file name below `videos`. `difficulty` is 100 times the base model's IoU, so a high one is
    easy. `source` is the collection in `qid`. 31 spans end more than 0.5 s after the clip.
    """

    offsets: Literal["auto", "apply", "ignore"] = "auto"
    """How to use `video_start` and `video_end`, the clip's place in the original video, which 665 items have.

    "apply": every file is the original video. "ignore": every file is cut already (as the released training assumes;
    its filtering applies them even to cut files). "auto": the 509 files named after their place are cut, the other 156
    are originals.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.offsets not in ("auto", "apply", "ignore"):
            raise ValueError(f"offsets must be auto, apply or ignore, got {self.offsets!r}")

    def rows(self) -> list[tuple[str, object]]:
        return items_of(self.file)

    def record(self, key: str, row: object) -> Record:
        fields = Fields.of(self.where(key), row)
        name = Path(fields.text("video"))
        times = as_pairs([fields.values.get("timestamp")])
        if times is None:
            fields.fail(f"`timestamp` must be [start, end] in seconds, got {fields.values.get('timestamp')!r}")
        duration = fields.seconds("duration")
        parts = fields.text("qid", "").split("|")
        span = self.span(key, *times[0], duration)
        return Record(
            uid=f"time_r1/{name.stem}/{self.file.stem}:{key}",
            task="grounding",
            source=parts[1] if len(parts) > 2 else _SOURCE,
            video=self._video(key, name, fields),
            question=fields.text("sentence"),
            target=Target(spans=(span,)),
            duration=duration,
            difficulty=fields.number("difficulty", "a number"),
        )

    def _video(self, key: str, name: Path, fields: Fields) -> VideoSource:
        start, end = fields.number("video_start"), fields.number("video_end")
        if start is not None and end is not None and not 0 <= start < end:
            fields.fail(f"the clip {start:g} to {end:g} has no length; correct `video_start` and `video_end`")
        path = self.find(key, name.name)
        cut = self.offsets == "ignore" or (self.offsets == "auto" and _CUT.search(name.stem) is not None)
        return VideoSource(path) if cut else VideoSource(path, start, end)
