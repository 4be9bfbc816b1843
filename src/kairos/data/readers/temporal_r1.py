"""Reads Temporal-R1's data: a yaml of annotation files and video folders, with spans as shares of the video."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from kairos.core.types import Target, VideoSource
from kairos.data.limits import choose
from kairos.data.readers.annotation_file import AnnotationError, AnnotationFile
from kairos.data.readers.fields import Fields, as_pairs
from kairos.data.readers.files import items_of, table_of, text_of
from kairos.data.records import Record

ItemRow = tuple[str, str, object]


@dataclass(frozen=True)
class TemporalR1Yaml(AnnotationFile[ItemRow]):
    """`datasets:` lists {json_path, data_folder, sampling_strategy}; a strategy is first:N, end:N, random:N, or N%.

    An item is {dataset, video, problem, solution: [start, end] in [0, 1], video_length in seconds}: its span is the
    solution times the length, and its `dataset` is its source (the released reader uses the first item's for the whole
    file). An item's key is `<file>:<number in the file>`. The released code takes the length of items of charades_train
    from their frames, so they need no video_length: here it is that of `durations`.
    """

    videos: str = "."
    """Folder that relative paths start from."""
    seed: int = 1
    """Of the strategy "random"."""
    durations: str | None = None
    """JSON of {video: {"duration": seconds}}, for items without a video_length (Charades-STA's charades.json)."""
    query: str | None = r'query: "(.+)", when'
    """Regular expression whose first group is the event in `problem`; None: the whole problem.

    The wording of the training file is not published; the default is that of the released evaluation.
    """
    _seconds: dict[str, float] = field(default_factory=dict, init=False, repr=False, compare=False)

    def rows(self) -> Iterator[tuple[str, ItemRow]]:
        if self.durations is not None:
            for video, row in table_of(Path(self.durations)).items():
                self._seconds[video] = Fields.of(f"{self.durations}, {video}", row).seconds("duration")
        try:
            listed = yaml.safe_load(text_of(self.file))
        except (yaml.YAMLError, RecursionError) as error:
            raise AnnotationError(f"{self.file}: not YAML ({error}); correct the file") from None
        entries = listed.get("datasets") if isinstance(listed, dict) else None
        if not isinstance(entries, list) or not entries:
            raise AnnotationError(f"{self.file}: no `datasets:`; list {{json_path, data_folder, sampling_strategy}}")
        for number, entry in enumerate(entries, start=1):
            fields = Fields.of(f"{self.file}, datasets, entry {number}", entry)
            file, folder = Path(self.videos) / fields.text("json_path"), fields.text("data_folder")
            strategy = fields.text("sampling_strategy", "") or None
            for item, value in choose(
                items_of(file), None if strategy == "all" else strategy, self.seed, str(file.name)
            ):
                yield f"{file.stem}:{item}", (file.stem, folder, value)

    def record(self, key: str, row: ItemRow) -> Record:
        _, folder, value = row
        fields = Fields.of(self.where(key), value)
        shares, length = as_pairs([fields.values.get("solution")]), self._length(fields)
        if shares is None or not all(-1 <= share <= 2 for share in shares[0]):
            got = fields.values.get("solution")
            fields.fail(f"`solution` must be [start, end] as shares of the video, 0 to 1, got {got!r}; correct the row")
        source = fields.text("dataset")
        return Record(
            uid=f"temporal_r1/{source}/{key}",
            task="grounding",
            source=source,
            video=VideoSource(self.find(key, str(Path(folder) / fields.text("video")))),
            question=self._question(fields),
            target=Target(spans=(self.span(key, shares[0][0] * length, shares[0][1] * length, length),)),
            duration=length,
        )

    def _length(self, fields: Fields) -> float:
        if "video_length" in fields.values:
            return fields.seconds("video_length")
        name = Path(fields.text("video")).stem
        if self.durations is None or name not in self._seconds:
            place = "durations=<charades.json>" if self.durations is None else f"{name} in {self.durations}"
            fields.fail(f"no `video_length`, in seconds; give it, or {place}")
        return self._seconds[name]

    def _question(self, fields: Fields) -> str:
        problem = fields.text("problem")
        if self.query is None:
            return problem
        found = re.search(self.query, problem, re.DOTALL)
        if found is None:
            fields.fail(
                f"`query` {self.query!r} finds no event in `problem` {problem[:80]!r}; correct it, or query=null"
            )
        return found[1]
