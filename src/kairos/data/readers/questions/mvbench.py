"""Reads MVBench: 20 tasks of 200 questions, a file each (json/<task>.json), or one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from kairos.data.readers.files import items_of
from kairos.data.readers.multiple_choice import MultipleChoice


@dataclass(frozen=True)
class MVBench(MultipleChoice):
    """Rows of {video, question, candidates, answer (text), start, end}; `annotations` is the folder json, or a file.

    The category is the task, the file's name. `start` and `end`, which some tasks have, are the clip's part of the
    video in seconds. Videos lie in `videos`, or in a folder there that is named as the task. The task of folders of
    frames (episodic_reasoning) needs them as video files.
    """

    published = MappingProxyType({"test": 4_000, "task": 200})

    source: str | None = "mvbench"

    def rows(self) -> Iterator[tuple[str, object]]:
        for file in sorted(self.file.glob("*.json")) if self.file.is_dir() else [self.file]:
            folder = file.stem if (Path(self.videos) / file.stem).is_dir() else None
            for key, row in items_of(file):
                yield f"{file.stem}:{key}", _row(row, file.stem, folder)


def _row(row: object, task: str, folder: str | None) -> object:
    if not isinstance(row, dict):
        return row
    video = row.get("video")
    if isinstance(video, str) and folder:
        video = f"{folder}/{video}"
    given = {name: row.get(name) for name in ("question", "answer", "start", "end")}
    return {"video": video, "options": row.get("candidates"), "category": task, **given}
