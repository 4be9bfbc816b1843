"""Reads QVHighlights (Lei et al. 2021): the moments of a query in clips of at most 150 s, and their saliency."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

from kairos.core.types import Target, VideoSource
from kairos.data.readers.annotation_file import AnnotationFile
from kairos.data.readers.fields import Fields, as_number
from kairos.data.readers.files import items_of
from kairos.data.records import Record

_CLIP = 2.0  # seconds of one annotated clip


@dataclass(frozen=True)
class QVHighlights(AnnotationFile[object]):
    """One query a line, with videos `<vid>.mp4`; `relevant_windows` become spans, often several.

    `relevant_clip_ids` and `saliency_scores` become highlights: the start of each 2 s clip in seconds, and the mean of
    its three ratings (0 to 4). TempSamp-R1's highlight prompt uses the same mean: 1.3 for ratings of 1, 1 and 2.
    """

    published = MappingProxyType({"train": 7_218, "val": 1_550, "test": 1_542})

    task: str = "grounding"
    """What is asked for: "grounding" (the spans) or "highlight"."""

    def rows(self) -> list[tuple[str, object]]:
        return items_of(self.file)

    def record(self, key: str, row: object) -> Record:
        fields = Fields.of(self.where(key), row)
        fields.require("relevant_windows", "the test split has none published; use train or val")
        duration = fields.seconds("duration")
        vid, rated = fields.text("vid"), _ratings(fields)
        return Record(
            uid=f"qvhighlights/{self.file.stem}:{fields.values.get('qid', key)}",
            task=self.task,
            source="qvhighlights",
            video=VideoSource(self.find(key, f"{vid}.mp4")),
            question=fields.text("query"),
            target=Target(
                spans=tuple(self.span(key, *pair, duration) for pair in fields.pairs("relevant_windows")),
                highlights=tuple((second, sum(each) / len(each)) for second, each in rated),
                ratings=tuple(each for _, each in rated),
            ),
            duration=duration,
        )


def _ratings(fields: Fields) -> list[tuple[float, tuple[float, ...]]]:
    """The start of each annotated clip in seconds, and its ratings."""
    clips, scores = fields.values.get("relevant_clip_ids", []), fields.values.get("saliency_scores", [])
    if not isinstance(clips, list) or not isinstance(scores, list) or len(clips) != len(scores):
        fields.fail("`relevant_clip_ids` and `saliency_scores` must be lists of one length; correct the row")
    found = []
    for clip, ratings in zip(clips, scores, strict=True):
        numbers = [as_number(value) for value in ratings] if isinstance(ratings, list) else []
        given = [number for number in numbers if number is not None and math.isfinite(number)]
        start = as_number(clip)
        if start is None or not given or len(given) < len(numbers):
            fields.fail(f"clip {clip!r} is rated {ratings!r}; a clip needs a number, and a list of ratings")
        found.append((start * _CLIP, tuple(given)))
    return found
