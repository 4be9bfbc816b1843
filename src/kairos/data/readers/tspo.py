"""Reads TSPO-10K: multiple-choice questions about whole videos, and about videos to hide among others.

| field | |
|---|---|
| `video` | required: a file, relative to `videos` |
| `original_question` | required: "<image>\\n<stem>\\nA. ...\\nB. ...", or "(A) ..."; instructions are removed |
| `solution` | required: "<answer>b</answer>", the letter of an option in either case |
| `type` | required: general (task choice) or specific (task needle: the video is the target of a composed one) |

`problem`, `original_answer` and `complete_answer` are not read: the first repeats the stem, and the released code takes
the right letter from `solution` alone. Departure: the stem ends before the first option ("A. ", "(A) "), where the
released code cuts at the first line that begins with "A"; what CLIP reads is still cut as released.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kairos.core.answers import blocks
from kairos.core.patterns import Letter
from kairos.core.questions import without_instructions
from kairos.core.types import Target, VideoSource
from kairos.data.readers.annotation_file import AnnotationFile
from kairos.data.readers.fields import Fields
from kairos.data.readers.files import items_of
from kairos.data.records import Record

_LETTERS = Letter().letters
"""Of options, in their order: those with which templates read answers."""
_TASKS = {"general": "choice", "specific": "needle"}
_OPTION = re.compile(r"(?:\(([A-Z])\)|([A-Z])[.):])\s*(.*)")


@dataclass(frozen=True)
class TSPOJsonl(AnnotationFile[object]):
    """TSPO_10k.jsonl (Canhui99/TSPO-10K), or rows of that form in a .json list. A row's key is its number."""

    source: str = "tspo"
    """Name of the data set in logs."""

    def rows(self) -> list[tuple[str, object]]:
        return items_of(self.file)

    def record(self, key: str, row: object) -> Record:
        fields = Fields.of(self.where(key), row)
        kind = fields.text("type")
        if kind not in _TASKS:
            fields.fail(f"`type` must be general or specific, got {kind!r}; correct the row")
        stem, options = _parted(fields)
        return Record(
            uid=f"{self.source}/{self.file.stem}:{key}",
            task=_TASKS[kind],
            source=self.source,
            video=VideoSource(self.find(key, fields.text("video"))),
            question=stem,
            target=Target(choice=_letter(fields, len(options))),
            options=options,
        )


def _parted(fields: Fields) -> tuple[str, tuple[str, ...]]:
    """The stem and the options, without letters, of `original_question`."""
    lines = without_instructions(fields.text("original_question")).splitlines()
    found = [_OPTION.fullmatch(line.strip()) for line in lines]
    first = next((number for number, option in enumerate(found) if option and _letter_of(option) == "A"), None)
    if first is None:
        fields.fail("`original_question` has no options; write each on a line of its own, A. ... or (A) ...")
    options: list[str] = []
    for line, option in zip(lines[first:], found[first:], strict=True):
        if not line.strip():
            continue
        if len(options) == len(_LETTERS):
            fields.fail(
                f"more than {len(_LETTERS)} options; answers are read with the letters {_LETTERS}: leave the row out"
            )
        wanted = _LETTERS[len(options)]
        if option is None or _letter_of(option) != wanted or not option[3].strip():
            fields.fail(
                f"`original_question`: the line {line.strip()[:80]!r} is not option {wanted}; write the options in "
                "the order of their letters, one a line, each with a text, and nothing behind them"
            )
        options.append(option[3].strip())
    stem = "\n".join(lines[:first]).strip()
    if not stem:
        fields.fail("`original_question` has options but no question before them; correct the row")
    return stem, tuple(options)


def _letter_of(option: re.Match[str]) -> str:
    return option[1] or option[2]


def _letter(fields: Fields, options: int) -> str:
    solution = fields.text("solution")
    letter = next(blocks(solution), "").strip().upper()
    if len(letter) != 1 or not letter.isascii() or not letter.isalpha():
        fields.fail(f"`solution` must be one letter, as <answer>b</answer>, got {solution!r}; correct the row")
    if letter not in _LETTERS[:options]:
        fields.fail(
            f"`solution` is {letter}, but the question has the {options} options {', '.join(_LETTERS[:options])}; "
            "correct the row"
        )
    return letter
