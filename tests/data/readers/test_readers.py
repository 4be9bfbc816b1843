"""Every annotation format: a row becomes a record, a bad row is named with its remedy, real files count up."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from kairos.core.spans import Span
from kairos.core.types import VideoSource
from kairos.data.limits import choose
from kairos.data.readers.activitynet import ActivityNetCaptions
from kairos.data.readers.annotation_file import AnnotationError, AnnotationFile, MissingVideo
from kairos.data.readers.jsonl import Jsonl
from kairos.data.readers.multiple_choice import MultipleChoice
from kairos.data.readers.nextgqa import NExTGQA
from kairos.data.readers.qvhighlights import QVHighlights
from kairos.data.readers.temporal_r1 import TemporalR1Yaml
from kairos.data.readers.tempsamp import TempSampJsonl
from kairos.data.readers.time_r1 import TimeR1Json
from kairos.data.readers.timelens import TimeLens
from kairos.data.readers.timezero import TimeZeroJson
from kairos.data.templates.time_r1 import TimeR1ColdStart

CUT = "abc_00:00:39:000_00:01:24:700.mp4"
PLACE = {"video_start": 39.0, "video_end": 84.7}
TIME_R1 = {
    "video": "./dataset/timer1/videos/timerft_data/a.mp4", "duration": 20.0, "timestamp": [1.0, 4.0],
    "sentence": "a hat", "qid": "my|cosmo|a|a hat", "video_start": None, "video_end": None,
    "difficulty": 50.0, "pred": [0, 3],
}  # fmt: skip
TEMPSAMP = {
    "problem": '<video>To accurately pinpoint the event "a "red" hat" in the video, determine the precise time period.',
    "answer": "<answer> 8.0 to 11.5 </answer>", "problem_type": "temporal grounding", "data_type": "video",
    "videos": ["video_shards/didemo/b.mp4"], "difficulty": 0.4321, "duration": 36.2, "gt_len": 3.5,
}  # fmt: skip
TEMPORAL = {
    "dataset": "one", "video": "a.mp4", "solution": [0.1, 0.25], "video_length": 40.0,
    "problem": 'Give the query: "a hat falls", when does the described content occur in the video?.',
}  # fmt: skip
TIMELENS = {
    "source": "didemo", "video_path": "video_shards/didemo/b.mp4", "duration": 36.2,
    "events": [{"query": "a hat", "span": [[1, 2]]}, {"query": "We HEAR a bell", "span": [[3, 4], [6, 7]]}],
}  # fmt: skip
QVH = {
    "qid": 9, "query": "a hat", "duration": 150, "vid": "a", "relevant_windows": [[82, 90], [100, 102]],
    "relevant_clip_ids": [41, 50], "saliency_scores": [[1, 1, 2], [4, 4, 1]],
}  # fmt: skip
CAPTIONS = {"duration": 20.0, "timestamps": [[0, 4.5], [3, 9]], "sentences": ["A hat.", " It falls. "]}
CHOICE = {"video": "a.mp4", "question": "What falls?", "options": ["A. a hat", "B. a cat"], "answer": "B"}
GQA = {
    "video_id": "a", "frame_count": "1", "width": "1", "height": "1", "question": "why", "answer": "to sit", "qid": "3",
    "type": "CW", "a0": "to run", "a1": "to sit", "a2": "x", "a3": "y", "a4": "z",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A folder of two empty videos, and how to write annotations there."""

    path: Path

    def write(self, name: str, value: object) -> str:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        (self.path / name).write_text(text, encoding="utf-8")
        return str(self.path / name)

    def lines(self, name: str, *rows: object) -> str:
        return self.write(name, "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))

    @property
    def videos(self) -> str:
        return str(self.path / "videos")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for name in ("a.mp4", CUT, "video_shards/didemo/b.mp4", "v_x.webm"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).write_bytes(b"x")
    return Place(tmp_path)


Make = Callable[..., AnnotationFile[object]]


def time_r1(place: Place, *rows: object, **options: object) -> TimeR1Json:
    return TimeR1Json(place.write("train_2k5.json", list(rows)), place.videos, **options)  # type: ignore[arg-type]


def tempsamp(place: Place, *rows: object, **options: object) -> TempSampJsonl:
    return TempSampJsonl(place.lines("grpo.jsonl", *rows), place.videos, **options)  # type: ignore[arg-type]


def timelens(place: Place, *rows: object, **options: object) -> TimeLens:
    return TimeLens(place.lines("timelens.jsonl", *rows), place.videos, **options)  # type: ignore[arg-type]


def qvhighlights(place: Place, *rows: object, **options: object) -> QVHighlights:
    return QVHighlights(place.lines("qvh.jsonl", *rows), place.videos, **options)  # type: ignore[arg-type]


def choices(place: Place, *rows: object, **options: object) -> MultipleChoice:
    return MultipleChoice(place.write("mc.json", list(rows)), place.videos, **options)  # type: ignore[arg-type]


def captions(place: Place, *rows: object, **options: object) -> TimeZeroJson:
    table = dict(zip(("a", "v_x"), rows, strict=False))
    return TimeZeroJson(place.write("train.json", table), place.videos, **options)  # type: ignore[arg-type]


def nextgqa(place: Place, *rows: dict[str, str], **options: object) -> NExTGQA:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(GQA))
    writer.writeheader()
    writer.writerows(rows)
    return NExTGQA(place.write("val.csv", text.getvalue()), place.videos, **options)  # type: ignore[arg-type]


def temporal_r1(place: Place, *rows: object, **options: object) -> TemporalR1Yaml:
    place.write("items.json", list(rows))
    entry = {"json_path": "items.json", "data_folder": "videos"}
    file = place.write("tvg.yaml", yaml.safe_dump({"datasets": [entry]}))
    return TemporalR1Yaml(file, str(place.path), **options)  # type: ignore[arg-type]


def test_time_r1_takes_a_clip_out_of_a_whole_video_and_leaves_one_that_is_cut(place: Place) -> None:
    cut = {**TIME_R1, **PLACE, "video": f"./elsewhere/{CUT}"}
    rows = TIME_R1, {**TIME_R1, **PLACE}, cut
    plain, part, already = time_r1(place, *rows).records()
    assert plain.video == VideoSource(f"{place.videos}/a.mp4")
    assert part.video == VideoSource(f"{place.videos}/a.mp4", 39.0, 84.7)
    assert already.video == VideoSource(f"{place.videos}/{CUT}")
    assert (plain.uid, plain.source, plain.difficulty) == ("time_r1/a/train_2k5:1", "cosmo", 50.0)
    assert (plain.question, plain.duration, plain.target.spans) == ("a hat", 20.0, (Span(1.0, 4.0),))
    applied = time_r1(place, *rows, offsets="apply").records()
    assert [record.video.start for record in applied] == [None, 39.0, 39.0]
    assert all(record.video.start is None for record in time_r1(place, *rows, offsets="ignore").records())
    with pytest.raises(ValueError, match="offsets must be auto, apply or ignore, got 'guess'"):
        time_r1(place, TIME_R1, offsets="guess")


def test_tempsamp_reads_the_event_out_of_its_prompt(place: Place) -> None:
    text, table = tempsamp(place, TEMPSAMP, {**TEMPSAMP, "answer": '{"time": [8.0, 11.5]}'}).records()
    assert text.question == 'a "red" hat' and text.target.spans == table.target.spans == (Span(8.0, 11.5),)
    assert (text.source, text.difficulty, text.duration) == ("didemo", 0.4321, 36.2)
    assert text.video.path == f"{place.videos}/video_shards/didemo/b.mp4"


def test_temporal_r1_turns_shares_into_seconds_and_every_item_names_its_data_set(place: Place) -> None:
    first, second = temporal_r1(place, TEMPORAL, {**TEMPORAL, "dataset": "two"}).records()
    assert first.target.spans == (Span(4.0, 10.0),) and first.duration == 40.0
    assert first.question == "a hat falls" and (first.source, second.source) == ("one", "two")
    assert first.uid == "temporal_r1/one/items:1" and first.video.path == str(place.path / "videos" / "a.mp4")
    assert temporal_r1(place, TEMPORAL, query=None).records()[0].question.startswith("Give the query")


@pytest.mark.parametrize(
    ("strategy", "numbers"),
    [
        ("all", [1, 2, 3, 4, 5]),
        ("first:2", [1, 2]),
        ("end:2", [4, 5]),
        ("first:50%", [1, 2, 3]),
        ("end:9", [1, 2, 3, 4, 5]),
    ],
)
def test_temporal_r1_takes_the_part_of_a_file_that_its_strategy_names(
    place: Place, strategy: str, numbers: list[int]
) -> None:
    place.lines("five.jsonl", *[TEMPORAL] * 5)
    entry = {"json_path": "five.jsonl", "data_folder": "videos", "sampling_strategy": strategy}
    reader = TemporalR1Yaml(place.write("tvg.yaml", yaml.safe_dump({"datasets": [entry]})), str(place.path))
    assert [record.uid for record in reader.records()] == [f"temporal_r1/one/five:{number}" for number in numbers]


def test_a_random_part_is_drawn_by_its_seed_and_keeps_the_order() -> None:
    drawn = choose(range(100), "random:10", 1, "x")
    assert len(set(drawn)) == 10 and drawn == sorted(drawn) == choose(range(100), "random:10%", 1, "x")
    assert drawn != choose(range(100), "random:10", 2, "x") and drawn != choose(range(100), "random:10", 1, "y")
    for wrong in ("some:3", "first:0", "first:101%", "first", 0):
        with pytest.raises(ValueError, match=r"names no part of x; write first:N, end:N or random:N, or N% for N"):
            choose(range(100), wrong, 1, "x")


def test_temporal_r1_says_what_its_yaml_lacks(place: Place) -> None:
    with pytest.raises(AnnotationError, match=r"tvg.yaml: no `datasets:`; list \{json_path"):
        TemporalR1Yaml(place.write("tvg.yaml", "sets: []")).records()
    with pytest.raises(AnnotationError, match=r"datasets, entry 1: no `data_folder`; a row needs it"):
        TemporalR1Yaml(place.write("tvg.yaml", "datasets: [{json_path: x.json}]")).records()
    with pytest.raises(AnnotationError, match=r"no annotation file .*absent.json; correct the paths of `data`"):
        TemporalR1Yaml(place.write("tvg.yaml", "datasets: [{json_path: absent.json, data_folder: v}]")).records()


def test_timelens_makes_a_record_of_each_event_and_counts_those_that_need_the_sound(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        (record,) = timelens(place, TIMELENS).records()
    assert "1 of 2 queries need the sound: left out (audio=true keeps them)" in caplog.text
    assert (record.uid, record.source, record.question) == ("timelens/timelens:1:1", "didemo", "a hat")
    both = timelens(place, TIMELENS, audio=True).records()
    assert both[1].target.spans == (Span(3, 4), Span(6, 7)) and both[1].uid == "timelens/timelens:1:2"


def test_qvhighlights_gives_spans_and_the_mean_rating_of_every_two_seconds(place: Place) -> None:
    (record,) = qvhighlights(place, QVH).records()
    assert record.target.spans == (Span(82, 90), Span(100, 102)) and record.uid == "qvhighlights/qvh:9"
    assert record.target.highlights == ((82.0, pytest.approx(4 / 3)), (100.0, 3.0))
    assert qvhighlights(place, QVH, task="highlight").records()[0].task == "highlight"


def test_captions_are_one_record_a_sentence(place: Place) -> None:
    records = captions(place, CAPTIONS, CAPTIONS).records()
    assert [record.question for record in records] == ["A hat.", "It falls."] * 2
    assert records[3].uid == "timezero/v_x/train:2" and records[3].video.path.endswith("v_x.webm")
    assert records[1].target.spans == (Span(3, 9),) and records[1].duration == 20.0
    assert {record.target.demonstration for record in records} == {None}
    told = captions(place, CAPTIONS, events=True).records()
    thought = "0.00 to 4.50 : A hat; 3.00 to 9.00 : It falls"
    assert {record.target.demonstration for record in told} == {thought}
    assert TimeR1ColdStart().answer(told[1].target) == f"<think>{thought}</think><answer>3.00 to 9.00</answer>"
    other = ActivityNetCaptions(place.write("val_1.json", {"a": CAPTIONS}), place.videos).records()
    assert (other[0].source, other[0].uid) == ("activitynet", "activitynet/a/val_1:1")


def test_nextgqa_is_grounded_with_its_spans_and_plain_choice_without(place: Place) -> None:
    (plain,) = nextgqa(place, GQA).records()
    assert (plain.task, plain.target.choice, plain.options[1], plain.duration) == ("choice", "B", "to sit", None)
    spans = place.write("gsub.json", {"a": {"duration": 34, "location": {"3": [[1, 2], [5, 34]]}, "fps": 30}})
    (grounded,) = nextgqa(place, GQA, spans=spans).records()
    assert grounded.task == "grounded_qa" and grounded.target.spans == (Span(1, 2), Span(5, 34))
    assert (grounded.duration, grounded.target.choice, grounded.uid) == (34.0, "B", "nextgqa/val/a:3")
    folders = place.write("map.json", {"7": "video_shards/didemo/b"})
    (mapped,) = nextgqa(place, {**GQA, "video_id": "7"}, folders=folders).records()
    assert mapped.video.path == f"{place.videos}/video_shards/didemo/b.mp4"
    (failure,) = nextgqa(place, {**GQA, "qid": "4"}, spans=spans).read().invalid
    assert "gsub.json, a: no `spans`; question 4 has no spans there" in failure.reason


@pytest.mark.parametrize("answer", ["B", "(B)", "B. a cat", "a cat", 1])
def test_multiple_choice_reads_the_answer_in_every_form(place: Place, answer: object) -> None:
    (record,) = choices(place, {**CHOICE, "answer": answer}).records()
    assert (record.target.choice, record.options, record.task) == ("B", ("a hat", "a cat"), "choice")


def test_multiple_choice_fields_may_have_other_names(place: Place) -> None:
    row = {"clip": "v_x", "question": "q", "candidates": ["x", "C. y"], "correct": 0, "glue": [[1, 2]], "duration": 9}
    names = {"video": "clip", "options": "candidates", "answer": "correct", "spans": "glue"}
    (record,) = choices(place, row, names=names, source="mine").records()
    assert record.options == ("x", "C. y") and record.task == "grounded_qa" and record.source == "mine"
    assert record.video.path.endswith("v_x.webm") and record.target.spans == (Span(1, 2),)
    with pytest.raises(ValueError, match="names maps film, but the fields are video, question"):
        choices(place, row, names={"film": "clip"})


BAD = [
    (time_r1, TIME_R1, {**TIME_R1, "timestamp": [4.0]}, "`timestamp` must be [start, end] in seconds, got [4.0]"),
    (time_r1, TIME_R1, {**TIME_R1, "timestamp": [4, 1]}, "span 4 to 1 is reversed; correct it, or leave such rows out"),
    (time_r1, TIME_R1, {**TIME_R1, "video_start": 9, "video_end": 9}, "the clip 9 to 9 has no length"),
    (time_r1, TIME_R1, {**TIME_R1, "duration": 0}, "`duration` must be above 0 seconds, got 0"),
    (time_r1, TIME_R1, ["a"], "not a JSON object"),
    (tempsamp, TEMPSAMP, "{", "not a JSON object; write {...}"),
    (tempsamp, TEMPSAMP, {**TEMPSAMP, "answer": "at 7"}, "`answer` must hold a start and an end, got 'at 7'"),
    (tempsamp, TEMPSAMP, {**TEMPSAMP, "problem": "When?"}, "`problem` names no event in quotes: 'When?'"),
    (tempsamp, TEMPSAMP, {**TEMPSAMP, "problem_type": "bbox"}, "`problem_type` 'bbox' is not read here"),
    (tempsamp, TEMPSAMP, {**TEMPSAMP, "videos": []}, "`videos` must be a list of one path, got 0"),
    (tempsamp, TEMPSAMP, {**TEMPSAMP, "difficulty": "hard"}, "`difficulty` must be a number, got 'hard'"),
    (temporal_r1, TEMPORAL, {**TEMPORAL, "solution": [4, 10]}, "`solution` must be [start, end] as shares"),
    (temporal_r1, TEMPORAL, {**TEMPORAL, "problem": "When?"}, "finds no event in `problem` 'When?'; correct it"),
    (temporal_r1, TEMPORAL, {**TEMPORAL, "dataset": ""}, "no `dataset`; a row needs it"),
    (qvhighlights, QVH, {**QVH, "relevant_windows": []}, "no `relevant_windows`; the test split has none published"),
    (qvhighlights, QVH, {**QVH, "relevant_clip_ids": [1]}, "must be lists of one length"),
    (qvhighlights, QVH, {**QVH, "saliency_scores": [[], [1]]}, "clip 41 is rated []"),
    (captions, CAPTIONS, {**CAPTIONS, "timestamps": [[1, 2]]}, "2 `sentences` but 1 `timestamps`"),
    (captions, CAPTIONS, {**CAPTIONS, "duration": None}, "no `duration`; a row needs it, in seconds"),
    (choices, CHOICE, {**CHOICE, "answer": "C"}, "answer 'C' is none of the 2 options"),
    (choices, CHOICE, {**CHOICE, "answer": True}, "answer True is none of the 2 options"),
    (choices, CHOICE, {**CHOICE, "options": "A. a hat"}, "`options` must be a list of texts"),
    (choices, CHOICE, {**CHOICE, "question": ""}, "no `question`; a multiple-choice row needs it"),
    (nextgqa, GQA, {**GQA, "answer": "to fly"}, "answer 'to fly' is none of the five options"),
    (nextgqa, GQA, {**GQA, "a4": ""}, "no `a4`; the columns are those of NExT-QA's csv files"),
    (timelens, TIMELENS, {**TIMELENS, "events": []}, "no `events`; a row needs a list of {query, span}"),
    (timelens, TIMELENS, {**TIMELENS, "events": [{"query": "q"}]}, "no `span`; an event needs [[start, end], ...]"),
    (timelens, TIMELENS, {**TIMELENS, "events": [{"query": "q", "span": [1, 2]}]}, "`span` must be [[start, end]"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "good", "bad", "complaint"), BAD, ids=lambda part: getattr(part, "__name__", ""))
def test_a_bad_row_is_counted_and_named_and_fatal_when_asked(
    place: Place, make: Make, good: object, bad: object, complaint: str
) -> None:
    reading = make(place, good, bad).read()
    assert reading.records and reading.invalid, "the good row is kept"
    failure = reading.invalid[0]
    file, _, row = failure.uid.partition(":")
    assert complaint in failure.reason and file in failure.reason and row.startswith(("2", "v_x", "items:2"))
    assert f"row {row}" in failure.reason
    with pytest.raises(AnnotationError) as raised:
        make(place, good, bad, invalid="error").records()
    assert str(raised.value) == failure.reason


@pytest.mark.parametrize(
    ("make", "row", "name"),
    [
        (time_r1, {**TIME_R1, "video": "x/gone.mp4"}, "gone.mp4"),
        (tempsamp, {**TEMPSAMP, "videos": ["x/gone.mp4"]}, "x/gone.mp4"),
        (temporal_r1, {**TEMPORAL, "video": "gone.mp4"}, "gone.mp4"),
        (timelens, {**TIMELENS, "video_path": "gone.mp4"}, "gone.mp4"),
        (qvhighlights, {**QVH, "vid": "gone"}, "gone.mp4"),
        (choices, {**CHOICE, "video": "gone"}, "gone or .mp4 or .mkv or .webm"),
        (nextgqa, {**GQA, "video_id": "gone"}, "gone.mp4"),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_an_absent_video_is_counted_and_named_and_fatal_when_asked(
    place: Place, make: Make, row: object, name: str
) -> None:
    reading = make(place, row).read()
    assert not reading.records and not reading.invalid and name in reading.missing[0].reason
    with pytest.raises(MissingVideo, match=r"put it there \(data.missing=skip leaves such rows out\)"):
        make(place, row, missing="error").records()


def test_an_annotation_file_that_is_absent_or_broken_is_named(place: Place) -> None:
    with pytest.raises(AnnotationError, match=r"no annotation file .*gone.json; correct the paths of `data`"):
        TimeZeroJson(str(place.path / "gone.json"), place.videos).records()
    with pytest.raises(AnnotationError, match=r"half.json: not JSON \(.*line 1\); correct the file"):
        TimeZeroJson(place.write("half.json", '{"a":'), place.videos).records()
    with pytest.raises(AnnotationError, match=r"list.json: not a JSON object; name a file of"):
        TimeZeroJson(place.write("list.json", []), place.videos).records()


def test_a_line_may_hold_any_character_of_unicode(place: Place) -> None:
    row = {"video": "a.mp4", "question": "снег\u2028falls\x85", "spans": [[1, 2]]}
    file = place.write("mine.jsonl", json.dumps(row, ensure_ascii=False) + "\r\n" + json.dumps(row) + "\n")
    assert [record.question for record in Jsonl(file, place.videos).records()] == ["снег\u2028falls\x85"] * 2


class TestRealFiles:
    """The files as they are distributed, with empty files in the place of their videos."""

    def touch(self, folder: Path, names: set[str]) -> str:
        for name in names:
            (folder / name).touch()
        return str(folder)

    def test_time_r1(self, real_data: Path, tmp_path: Path) -> None:
        file = real_data / "annotations" / "timer1_train_2k5.json"
        rows = json.loads(file.read_text())
        videos = self.touch(tmp_path, {Path(row["video"]).name for row in rows})
        reading = TimeR1Json(str(file), videos).read()
        assert len(reading.records) == 2500 and reading.invalid == reading.missing == ()
        assert len({record.uid for record in reading.records}) == 2500
        ends = [(record.target.spans[0].end, record.duration or 0) for record in reading.records]
        assert sum(end > duration + 0.5 for end, duration in ends) == 31
        assert sum(record.video.start is not None for record in reading.records) == 665 - 509
        applied = TimeR1Json(str(file), videos, offsets="apply").read().records
        assert sum(record.video.start is not None for record in applied) == 665
        assert Counter(record.source for record in reading.records)["yt-temporal"] == 764
        mean = sum(record.difficulty or 0 for record in reading.records) / 2500
        assert mean == pytest.approx(34.4, abs=0.05)
        clamped = TimeR1Json(str(file), videos, clamp=True).read()
        assert clamped.beyond == 0 and len(clamped.records) + len(clamped.invalid) == 2500

    def test_activitynet(self, real_data: Path, tmp_path: Path) -> None:
        file = real_data / "annotations" / "activitynet_captions_val_1.json"
        videos = self.touch(tmp_path, {f"{video}.mp4" for video in json.loads(file.read_text())})
        reading = ActivityNetCaptions(str(file), videos).read()
        assert (len(reading.records), reading.beyond, reading.invalid) == (17505, 134, ())
        assert len({record.video.path for record in reading.records}) == 4917
        assert len({record.uid for record in reading.records}) == 17505
        small = str(real_data / "annotations" / "activitynet_captions_3clips.json")
        there = ActivityNetCaptions(small, str(real_data / "videos")).read()
        assert {record.video.path for record in there.records} == {str(real_data / "videos" / "v_TpB_zMG3XBA.mp4")}
        assert there.missing and not there.invalid

    def test_qvhighlights(self, real_data: Path, tmp_path: Path) -> None:
        file = real_data / "annotations" / "qvhighlights_val.jsonl"
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        reading = QVHighlights(str(file), self.touch(tmp_path, {f"{row['vid']}.mp4" for row in rows})).read()
        assert (len(reading.records), reading.invalid) == (1550, ())
        assert sum(len(record.target.spans) > 1 for record in reading.records) == 530
        (first,) = [record for record in reading.records if record.uid.endswith(":2579")]
        assert [seconds for seconds, _ in first.target.highlights[:2]] == [82.0, 84.0], "as the paper's prompt has them"
        assert [round(saliency, 1) for _, saliency in first.target.highlights[:2]] == [1.3, 1.7]

    def test_nextgqa(self, real_data: Path, tmp_path: Path) -> None:
        notes = real_data / "annotations"
        with (notes / "nextgqa_val.csv").open(encoding="utf-8", newline="") as file:
            videos = self.touch(tmp_path, {f"{row['video_id']}.mp4" for row in csv.DictReader(file)})
        spans = str(notes / "nextgqa_gsub_val.json")
        reading = NExTGQA(str(notes / "nextgqa_val.csv"), videos, spans=spans).read()
        assert (len(reading.records), reading.invalid) == (3358, ()) and reading.beyond == 3
        assert {record.task for record in reading.records} == {"grounded_qa"}
        assert {record.task for record in NExTGQA(str(notes / "nextgqa_val.csv"), videos).records()} == {"choice"}

    @pytest.mark.parametrize(
        ("name", "names"),
        [
            ("tspo_mlvu.json", {"video": "video_name", "options": "candidates"}),
            ("tspo_videomme.json", {"video": "videoID", "id": "question_id", "duration": "none"}),
            ("tspo_lvb_val.json", {"video": "video_id", "options": "candidates", "answer": "correct_choice"}),
        ],
    )
    def test_multiple_choice(self, real_data: Path, tmp_path: Path, name: str, names: dict[str, str]) -> None:
        file = real_data / "annotations" / name
        rows = json.loads(file.read_text())
        stems = {row[names["video"]].removesuffix(".mp4") for row in rows}
        reading = MultipleChoice(str(file), self.touch(tmp_path, {f"{stem}.mp4" for stem in stems}), names=names).read()
        assert len(reading.records) == len(rows) and reading.invalid == ()
        assert len({record.uid for record in reading.records}) == len(rows)
