"""Reads NExT-GQA: questions with five options (val.csv, test.csv) and spans that show the answer (gsub_val.json)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from kairos.core.spans import Span
from kairos.core.types import Target, VideoSource
from kairos.data.readers.annotation_file import AnnotationFile
from kairos.data.readers.fields import Fields
from kairos.data.readers.files import csv_rows, lines_of, table_of
from kairos.data.records import LETTERS, Record

_COLUMNS = ("video_id", "question", "answer", "qid", "a0", "a1", "a2", "a3", "a4")
CsvRow = dict[str, str]


@dataclass(frozen=True)
class NExTGQA(AnnotationFile[CsvRow]):
    """One split of NExT-GQA (Xiao et al. 2024)."""

    published = MappingProxyType({"val": 3_358, "test": 5_553})

    spans: str | None = None
    """JSON of {video: {duration, location: {qid: [[start, end], ...]}}} in seconds: task grounded_qa.

    None (the train split has no spans): task choice.
    """
    folders: str | None = None
    """JSON of {video_id: "1164/4882821564"}, the data set's map_vid_vidorID.json; None: videos are <video_id>.mp4."""
    _located: dict[str, object] = field(default_factory=dict, init=False, repr=False, compare=False)
    _places: dict[str, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    def rows(self) -> Iterator[tuple[str, CsvRow]]:
        self._located.update(table_of(Path(self.spans)) if self.spans else {})
        self._places.update(table_of(Path(self.folders)) if self.folders else {})
        text = "\n".join(line for _, line in lines_of(self.file))
        yield from csv_rows(text)

    def record(self, key: str, row: CsvRow) -> Record:
        fields = Fields.of(self.where(key), row)
        if lacking := [name for name in _COLUMNS if not row.get(name)]:
            fields.fail(f"no `{', '.join(lacking)}`; the columns are those of NExT-QA's csv files")
        options = tuple(row[name].strip() for name in _COLUMNS[4:])
        if row["answer"].strip() not in options:
            fields.fail(f"answer {row['answer']!r} is none of the five options; correct the row")
        video, qid = row["video_id"], row["qid"]
        spans, duration = self._spans(key, video, qid)
        place = Fields(f"{self.folders}, {video}", {"path": self._places.get(video, video)}).text("path")
        return Record(
            uid=f"nextgqa/{self.file.stem}/{video}:{qid}",
            task="grounded_qa" if spans else "choice",
            source="nextgqa",
            video=VideoSource(self.find(key, f"{place}.mp4")),
            question=row["question"].strip(),
            target=Target(spans=spans, choice=LETTERS[options.index(row["answer"].strip())]),
            options=options,
            duration=duration,
            category=row.get("type", ""),
        )

    def _spans(self, key: str, video: str, qid: str) -> tuple[tuple[Span, ...], float | None]:
        if self.spans is None:
            return (), None
        found = Fields.of(f"{self.where(key)}: {self.spans}, {video}", self._located.get(video, {}))
        location = found.values.get("location")
        found = Fields(
            found.where, {**found.values, "spans": location.get(qid) if isinstance(location, Mapping) else None}
        )
        found.require("spans", f"question {qid} has no spans there; correct it, or set spans=null for plain choice")
        duration = found.seconds("duration")
        return tuple(self.span(key, *pair, duration) for pair in found.pairs("spans")), duration
