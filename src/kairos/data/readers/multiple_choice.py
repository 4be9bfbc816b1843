"""Reads multiple-choice questions as data sets publish them: a .jsonl file, or a .json file of one list.

| field | |
|---|---|
| `video` | required: a file or its stem, relative to `videos`; `suffixes` are tried |
| `question` | required |
| `options` | required: ["a dog", "a cat"]; a letter before the text ("A. a dog", "(A) a dog") is removed |
| `answer` | required: the letter ("B", "(B)", "B. a cat"), the option's own text, or its index, a number from 0 |
| `spans` | [[start, end], ...] in seconds: where the answer is seen; makes the row grounded_qa |
| `duration` | seconds of the clip |
| `start`, `end` | the clip's part of the video, in seconds of the video |
| `category` | the kind of question, by which scores are told apart |
| `id` | stable name of the row (default: its number) |

Other fields are ignored. `names` maps a field to its name in the file: {video: video_name, options: candidates}.
For another task, such as needle, write the rows as `data=jsonl` reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from kairos.core.types import Target, VideoSource
from kairos.data.readers.annotation_file import AnnotationFile
from kairos.data.readers.fields import Fields
from kairos.data.readers.files import items_of
from kairos.data.records import LETTERS, Record

FIELDS = ("video", "question", "options", "answer", "spans", "duration", "start", "end", "category", "id")
_LETTERED = re.compile(r"\s*(?:\(([A-J])\)|([A-J])[.):])\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class MultipleChoice(AnnotationFile[object]):
    """Records of a multiple-choice file; the fields are those of this module's table."""

    source: str | None = None
    """Name of the data set; None: the file's stem."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What the file calls a field."""
    calls: ClassVar[Mapping[str, str]] = {}
    """What a benchmark's file calls the fields; those that are not named are not read. Empty: by their own names."""
    suffixes: Sequence[str] = ("", ".mp4", ".mkv", ".webm")
    """Appended to `video`; the first file that exists is taken."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := sorted(set(self.names) - set(FIELDS)):
            raise ValueError(f"names maps {', '.join(unknown)}, but the fields are {', '.join(FIELDS)}")

    def rows(self) -> list[tuple[str, object]]:
        return items_of(self.file)

    def record(self, key: str, row: object) -> Record:
        given = Fields.of(self.where(key), row)
        named = {name: name for name in FIELDS} if not self.calls else {**self.calls}
        named |= self.names
        fields = Fields(
            given.where,
            self.adapted({name: given.values[own] for name, own in named.items() if own in given.values}),
        )
        for name in ("video", "question", "options"):
            fields.require(name, "a multiple-choice row needs it; `names` says what the file calls it")
        options = _without_letters(fields.texts("options"))
        spans, duration = fields.pairs("spans"), fields.number("duration")
        source = self.source or self.file.stem
        return Record(
            uid=f"{source}/{self.file.stem}:{fields.values.get('id', key)}",
            task="grounded_qa" if spans else "choice",
            source=source,
            video=VideoSource(self.find(key, fields.text("video"), self.suffixes), *fields.part()),
            question=fields.text("question").strip(),
            target=Target(
                spans=tuple(self.span(key, *pair, duration) for pair in spans), choice=_letter(fields, options)
            ),
            options=options,
            duration=duration,
            category=str(fields.values.get("category", "")),
        )

    def adapted(self, values: dict[str, object]) -> Mapping[str, object]:
        """The fields of a row as a benchmark's reader puts them right; here unchanged."""
        return values


def _without_letters(options: tuple[str, ...]) -> tuple[str, ...]:
    """Options without their letters ("A. ", "B. ", ...); unchanged unless every option has its own letter."""
    found = [_LETTERED.fullmatch(option) for option in options]
    if len(options) <= len(LETTERS) and all(m and (m[1] or m[2]) == LETTERS[i] for i, m in enumerate(found)):
        return tuple(m[3].strip() for m in found if m)
    return tuple(option.strip() for option in options)


def _letter(fields: Fields, options: tuple[str, ...]) -> str:
    answer = fields.values.get("answer")
    allowed = LETTERS[: len(options)]
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(allowed):
        return allowed[answer]
    if isinstance(answer, str):
        text = answer.strip()
        if text in options:
            return allowed[options.index(text)]
        lettered = _LETTERED.fullmatch(text)
        letter = text if len(text) == 1 else (lettered[1] or lettered[2]) if lettered else ""
        if letter and letter in allowed:
            return letter
    fields.fail(
        f"answer {answer!r} is none of the {len(options)} options; write a letter, an option or an index from 0"
    )
