"""Reads Charades-STA: lines `VID start end##sentence.`, videos <folder>/<VID>.mp4, durations in charades.json."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from kairos.core.types import Target, VideoSource
from kairos.data.readers.annotation_file import AnnotationError, AnnotationFile
from kairos.data.readers.fields import Fields
from kairos.data.readers.files import lines_of, table_of
from kairos.data.records import Record

_LINE = re.compile(r"(\S+) (\S+) (\S+?)##(.+)")
_REMEDY = "correct the line, or leave such rows out with invalid=skip"


@dataclass(frozen=True)
class CharadesSTA(AnnotationFile[str]):
    """One split of Charades-STA (Gao et al. 2017): temporal grounding, times in seconds.

    562 of the 3,720 test rows end after their clip.
    """

    published = MappingProxyType({"train": 12_408, "test": 3_720})

    durations: str | None = None
    """JSON of {video: {"duration": seconds}}; None: records have no duration."""
    _seconds: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)

    def rows(self) -> list[tuple[str, str]]:
        if self.durations is not None:
            for video, row in table_of(Path(self.durations)).items():
                self._seconds[video] = Fields.of(f"{self.durations}, {video}", row).seconds("duration")
        return lines_of(self.file)

    def record(self, key: str, row: str) -> Record:
        where = self.where(key)
        found = _LINE.fullmatch(row.strip())
        if found is None:
            raise AnnotationError(f"{where}: not `VID start end##sentence`: {row[:80]!r}; {_REMEDY}")
        video, start, end, sentence = found.groups()
        if self.durations is not None and video not in self._seconds:
            raise AnnotationError(f"{where}: {self.durations} has no {video}; add it, or set durations=null")
        duration = self._seconds.get(video)
        try:
            times = float(start), float(end)
        except ValueError:
            raise AnnotationError(f"{where}: {start!r} to {end!r} are not two numbers; {_REMEDY}") from None
        return Record(
            uid=f"charades_sta/{video}/{self.file.stem}:{key}",
            task="grounding",
            source="charades_sta",
            video=VideoSource(self.find(key, f"{video}.mp4")),
            question=sentence,
            target=Target(spans=(self.span(key, *times, duration, _REMEDY),)),
            duration=duration,
        )
