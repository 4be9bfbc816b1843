"""Refuses annotations whose times cannot be seconds: frames or per cent, or shares of the video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kairos.data.readers.fields import AnnotationError
from kairos.data.records import Record

_ENOUGH = 10  # rows with a span and a duration, below which nothing is concluded


def check_units(file: Path, records: Sequence[Record]) -> None:
    """AnnotationError where most spans end behind their clips, or where all lie in the first second of longer clips."""
    timed = [(record.target.spans, record.duration) for record in records if record.target.spans and record.duration]
    if len(timed) < _ENOUGH:
        return
    behind = sum(max(span.end for span in spans) > duration for spans, duration in timed)
    if behind > len(timed) / 2:
        raise AnnotationError(
            f"{file}: the spans of {behind:,} of {len(timed):,} rows end behind their clip, so they are not seconds "
            "but frames, milliseconds or per cent; write seconds from the start of the clip"
        )
    if all(span.end <= 1 for spans, _ in timed for span in spans) and sum(d > 2 for _, d in timed) > len(timed) / 2:
        raise AnnotationError(
            f"{file}: the spans of all {len(timed):,} rows end within the first second, so they are not seconds but "
            "shares of the video; write seconds from the start of the clip"
        )
