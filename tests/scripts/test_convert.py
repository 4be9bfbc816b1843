"""scripts/convert.py: any reader's records as our JSONL, filtered, counted, and read back as the same records."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.scripting import Script

from kairos.core.spans import Span
from kairos.core.types import Target, VideoSource
from kairos.data.filters import Keep, measures
from kairos.data.readers.jsonl import Jsonl
from kairos.data.readers.time_r1 import TimeR1Json
from kairos.data.records import Record
from kairos.data.writing import write_jsonl


def record(name: str, **changes: object) -> Record:
    plain = Record(
        uid=name, task="grounding", source="s", video=VideoSource("videos/a.mp4"), question="q",
        target=Target(spans=(Span(2.0, 4.0), Span(3.0, 7.0))), duration=20.0, difficulty=0.5,
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_everything_that_a_record_says_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos" / "frames").mkdir(parents=True)
    (tmp_path / "videos" / "a.mp4").touch()
    videos = tmp_path / "videos"
    target = Target((Span(1, 2),), "B", (Span(1.5, 1.75),), ((0.0, 1.3), (2.0, 4.0)), "because \u2028 снег")
    records = [
        record("plain", video=VideoSource(str(videos / "a.mp4"), 3.25, 9.0)),
        record("full", task="grounded_qa", target=target, options=("x", "y"),
               video=VideoSource(str(videos / "frames"), fps=4.0), difficulty=None),
        record("bare", duration=None, difficulty=None, video=VideoSource(str(videos / "a.mp4"))),
    ]  # fmt: skip
    write_jsonl(records, tmp_path / "out" / "mine.jsonl")
    assert Jsonl(str(tmp_path / "out" / "mine.jsonl")).records() == records
    write_jsonl([record("relative")], tmp_path / "out" / "mine.jsonl")
    (read,) = Jsonl(str(tmp_path / "out" / "mine.jsonl"), videos="/elsewhere").records()
    assert read.video.path == str(videos / "a.mp4"), "the file may be read from anywhere"


def test_spans_count_once_where_they_overlap() -> None:
    assert measures(record("a")) == {"duration": 20.0, "length": 5.0, "coverage": 0.25, "difficulty": 0.5}
    nothing = record("b", target=Target(choice="A"), duration=None, difficulty=None)
    assert set(measures(nothing).values()) == {None}


@pytest.mark.parametrize(
    ("keep", "reason"),
    [
        (Keep(), None),
        (Keep(duration=[20, 20], length=[5, None], coverage=[None, 0.25], difficulty=[0.5, 0.5]), None),
        (Keep(duration=[None, 19.5]), "duration above 19.5"),
        (Keep(length=[6, None]), "length below 6"),
        (Keep(coverage=[0.3, 0.9]), "coverage below 0.3"),
        (Keep(difficulty=[0.75, 1]), "difficulty below 0.75"),
    ],
)
def test_a_range_includes_its_ends_and_says_why_a_record_falls(keep: Keep, reason: str | None) -> None:
    assert keep.reason(record("a")) == reason


def test_a_record_without_the_value_falls_and_is_counted() -> None:
    bare = record("b", difficulty=None)
    kept, fallen = Keep(difficulty=[0, 1]).split([record("a"), bare, bare])
    assert [r.uid for r in kept] == ["a"] and fallen == Counter({"no difficulty": 2})


@pytest.mark.parametrize("wrong", [[1], [2, 1], []])
def test_a_range_of_another_form_is_refused(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match=r"keep.length must be \[low, high\], with null for an open end"):
        Keep(length=wrong)


def test_the_script_filters_says_what_fell_and_its_output_reads_back(
    script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").touch()
    rows = [
        {"video": "x/a.mp4", "duration": seconds, "timestamp": [1, 1 + length], "sentence": f"event {number}",
         "qid": "my|cosmo|a|b", "video_start": 5.0, "video_end": 5.0 + seconds, "difficulty": difficulty}
        for number, (seconds, length, difficulty) in enumerate([(20, 5, 30), (20, 5, 80), (20, 0.5, 30), (300, 5, 30)])
    ]  # fmt: skip
    (tmp_path / "train.json").write_text(json.dumps(rows))
    data = ["data=time_r1", "data.annotations=train.json", "data.videos=videos"]
    ranges = ["keep.duration=[5,240]", "keep.length=[1,null]", "keep.difficulty=[0,70]"]
    assert script("convert", *data, *ranges, "output=out/mine.jsonl") == 0
    said = capsys.readouterr().out
    assert "out/mine.jsonl: 1 of 4 records kept" in said
    for reason in ("difficulty above 70", "length below 1", "duration above 240"):
        assert f"  1 left out: {reason}" in said
    (read,) = Jsonl("out/mine.jsonl").records()
    (first, *_) = TimeR1Json("train.json", str(tmp_path / "videos")).records()
    assert read == first and read.video.start == 5.0 and Path(read.video.path).is_absolute()
    assert script("convert", *data, "keep.duration=[900,null]", "output=none.jsonl") == 1
    assert "none of 4 records is kept" in capsys.readouterr().err
    assert not (tmp_path / "none.jsonl").exists()
    assert script("convert", *data, "output=again.jsonl") == 0 and "4 of 4 records kept" in capsys.readouterr().out
    assert script("convert", "data=jsonl", "data.annotations=again.jsonl", "output=a=1,b/twice.jsonl") == 0
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "a=1,b" / "twice.jsonl").read_bytes()


def test_prompts_without_videos_cannot_be_converted(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    assert script("convert", "data=toy", "policy=toy", "output=none.jsonl") == 1
    assert "nothing to convert: the prompts of this data option have no videos" in capsys.readouterr().err
