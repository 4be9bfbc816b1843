"""The generic JSONL: what a user writes is read, and what is wrong is named with its file, row and remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kairos.core.spans import Span
from kairos.core.types import VideoSource
from kairos.data.readers.annotation_file import AnnotationError, MissingVideo
from kairos.data.readers.jsonl import Jsonl

GOOD = {"video": "a.mp4", "question": "a dog barks", "spans": [[1, 2.5]]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "frames").mkdir()
    return tmp_path


def jsonl(folder: Path, *rows: object, **options: object) -> Jsonl:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "mine.jsonl").write_text("\n".join(lines) + "\n\n")
    return Jsonl(str(folder / "mine.jsonl"), str(folder), **options)  # type: ignore[arg-type]


def test_a_short_row_is_a_grounding_record(folder: Path) -> None:
    (record,) = jsonl(folder, GOOD).records()
    assert (record.uid, record.task, record.source, record.duration) == ("mine:1", "grounding", "mine", None)
    assert record.target.spans == (Span(1.0, 2.5),)


def test_every_field_is_read(folder: Path) -> None:
    row = {
        "uid": "u", "task": "grounded_qa", "source": "s", "video": "frames", "fps": 4, "start": 3, "end": 9.5,
        "question": "Who barks?", "options": ["a dog", "a cat"], "choice": "A", "spans": [[0, 2], [4, 5]],
        "evidence": [[1, 2]], "demonstration": "a dog opens its mouth", "mood": "not read",
    }  # fmt: skip
    (record,) = jsonl(folder, row).records()
    assert record.video == VideoSource(str(folder / "frames"), 3.0, 9.5, 4.0)
    assert record.duration == 6.5 and record.options == ("a dog", "a cat")
    assert record.target.spans == (Span(0, 2), Span(4, 5)) and record.target.evidence == (Span(1, 2),)
    assert (record.target.choice, record.target.demonstration) == ("A", "a dog opens its mouth")


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object; write {...}, one a line"),
        ({"question": "q", "spans": [[1, 2]]}, "no `video`; a row of task grounding needs it"),
        ({"video": "a.mp4", "question": "q"}, "no `spans`; a row of task grounding needs it"),
        ({**GOOD, "task": "choice"}, "no `options`; a row of task choice needs it"),
        ({"video": "a.mp4", "question": "q", "span": [[1, 2]]}, "no `spans` (is `span` meant for it?); a row of task"),
        ({**GOOD, "task": "choice", "options": ["x", "y"], "choice": "C"}, "choice 'C' is none of its 2 options"),
        ({**GOOD, "spans": [1, 2]}, "`spans` must be [[start, end], ...] in seconds, got [1, 2]"),
        ({**GOOD, "spans": [[1, True]]}, "`spans` must be [[start, end], ...]"),
        ({**GOOD, "spans": [[3, 2]]}, "span 3 to 2 is reversed; correct `spans`, or leave such rows out"),
        ({**GOOD, "spans": [[2, 2]]}, "span 2 to 2 has zero length; correct `spans`"),
        ('{"video": "a.mp4", "question": "q", "spans": [[NaN, 2]]}', "span nan to 2.0 is not a pair of numbers"),
        ({**GOOD, "video": "frames"}, "is a folder of frames; give its `fps`"),
        ({**GOOD, "start": 5, "end": 4}, "the sub-clip 5 to 4.0 has no length; correct `start` and `end`"),
        ({**GOOD, "duration": "long"}, "`duration` must be a number of seconds"),
    ],
)
def test_a_wrong_row_names_file_row_and_remedy(folder: Path, row: object, complaint: str) -> None:
    with pytest.raises(AnnotationError) as raised:
        jsonl(folder, GOOD, row).records()
    assert "mine.jsonl, row 2: " in str(raised.value) and complaint in str(raised.value)
    reading = jsonl(folder, GOOD, row, invalid="skip").read()
    assert len(reading.records) == 1 and [f.uid for f in reading.invalid] == ["mine.jsonl:2"]


def test_a_span_beyond_the_duration_is_kept_unless_clamped(folder: Path) -> None:
    row = {**GOOD, "duration": 2.0}
    assert jsonl(folder, row).read().beyond == 1
    assert jsonl(folder, row, clamp=True).records()[0].target.spans == (Span(1.0, 2.0),)


def test_an_absent_video_is_named_and_fatal_only_when_asked(folder: Path) -> None:
    rows = (GOOD, {**GOOD, "video": "b.mp4"})
    reading = jsonl(folder, *rows).read()
    assert len(reading.records) == 1 and "b.mp4" in reading.missing[0].reason
    with pytest.raises(MissingVideo, match=r"row 2: no video .*b.mp4"):
        jsonl(folder, *rows, missing="error").records()
