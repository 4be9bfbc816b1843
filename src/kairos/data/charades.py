"""Charades-STA: `VID start end##sentence.` a line, videos as <folder>/<VID>.mp4, durations from charades.json."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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

_LINE = re.compile(r"(\S+) (\S+) (\S+?)##(.+)")
_REMEDY = "correct the line, or leave such rows out with invalid=skip"


@dataclass(frozen=True)
class CharadesSTA:
    """One split of Charades-STA (Gao et al. 2017): temporal grounding, times in seconds.

    `durations` is a JSON of {video: {"duration": seconds}}; None leaves durations out. A row whose video is absent is
    counted and named (`missing="error"` stops instead); so is one whose span is reversed, not finite or without length
    (`invalid`). A span that ends behind the duration (562 of the 3,720 test rows) is kept as annotated and counted;
    `clamp` cuts it.
    """

    annotations: str
    videos: str
    durations: str | None = None
    missing: OnProblem = "skip"
    invalid: OnProblem = "skip"
    clamp: bool = False
    _known: dict[str, bool] = field(default_factory=dict, init=False, repr=False, compare=False)

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
        durations = self._durations()
        lines = file.read_text(encoding="utf-8").splitlines()
        return read_rows(
            file, lines, lambda number, line: self._record(number, line, durations), self.missing, self.invalid
        )

    def _durations(self) -> Mapping[str, float] | None:
        if self.durations is None:
            return None
        return {video: float(row["duration"]) for video, row in json.loads(Path(self.durations).read_text()).items()}

    def _record(self, number: int, line: str, durations: Mapping[str, float] | None) -> Record:
        where = f"{self.annotations}, row {number}"
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise AnnotationError(f"{where}: not `VID start end##sentence`: {line[:80]!r}; {_REMEDY}")
        video, start, end, sentence = found.groups()
        if durations is not None and video not in durations:
            raise AnnotationError(f"{where}: {self.durations} has no {video}; add it, or set durations=null")
        duration = None if durations is None else durations[video]
        try:
            times = float(start), float(end)
        except ValueError:
            raise AnnotationError(f"{where}: {start!r} to {end!r} are not two numbers; {_REMEDY}") from None
        span = checked_span(*times, where, _REMEDY, duration, self.clamp)
        path = Path(self.videos) / f"{video}.mp4"
        if not self._exists(path):
            raise MissingVideo(f"{where}: no video {path}; put it there, or leave such rows out with missing=skip")
        return Record(
            uid=f"charades_sta/{video}/{Path(self.annotations).stem}:{number}",
            task="grounding",
            source="charades_sta",
            video=VideoSource(str(path)),
            question=sentence,
            target=Target(spans=(span,)),
            duration=duration,
        )

    def _exists(self, path: Path) -> bool:
        return self._known.setdefault(path.name, path.is_file())
