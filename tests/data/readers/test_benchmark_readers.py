"""Readers of benchmarks: every published file whole, every schema by example, and each fault by its message."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from kairos.core.spans import Span
from kairos.data.readers.activitynet import ActivityNetCaptions
from kairos.data.readers.annotation_file import Reading
from kairos.data.readers.charades import CharadesSTA
from kairos.data.readers.moments.activitynet_rtl import ActivityNetRTL
from kairos.data.readers.moments.charades_cd import CharadesCD
from kairos.data.readers.moments.ego4d_nlq import Ego4DNLQ
from kairos.data.readers.moments.momentseeker import MomentSeeker
from kairos.data.readers.moments.omtg import OMTG
from kairos.data.readers.moments.timelens_bench import TimeLensBench
from kairos.data.readers.moments.tvgbench import TVGBench
from kairos.data.readers.moments.vue_tr import VueTR
from kairos.data.readers.questions.easyvideor1 import EasyVideoR1
from kairos.data.readers.questions.longvideobench import LongVideoBench
from kairos.data.readers.questions.lvbench import LVBench
from kairos.data.readers.questions.minerva import MINERVA
from kairos.data.readers.questions.mlvu import MLVU
from kairos.data.readers.questions.mmvu import MMVU
from kairos.data.readers.questions.mvbench import MVBench
from kairos.data.readers.questions.tempcompass import TempCompass
from kairos.data.readers.questions.video_holmes import VideoHolmes
from kairos.data.readers.questions.videomme import VideoMME
from kairos.data.readers.questions.videommmu import VideoMMMU
from kairos.data.readers.temporal_r1 import TemporalR1Yaml
from kairos.data.readers.tspo import TSPOJsonl
from kairos.data.records import Record


class Opened(Protocol):
    """A reader of one file, whatever its rows are."""

    def read(self) -> Reading: ...

    def records(self) -> list[Record]: ...


Reader = Callable[..., Opened]
WHOLE: list[tuple[Reader, str, str, int, dict[str, int]]] = [
    (CharadesCD, "charades_cd_test_iid.json", "iid", 823, {}),
    (CharadesCD, "charades_cd_test_ood.json", "ood", 3_375, {}),
    (VueTR, "vue_tr_ground_truth.json", "v1", 1_598, {"short": 439, "ultra-long": 153}),
    (VideoMME, "tspo_videomme.json", "test", 2_700, {"short": 900, "medium": 900, "long": 900}),
    (MLVU, "tspo_mlvu.json", "dev", 2_174, {"plotQA": 539, "order": 259, "anomaly_reco": 200}),
    (MLVU, "mlvu_dev_4_count.json", "count", 206, {"count": 206}),
    (MLVU, "mlvu_dev_6_anomaly_reco.json", "anomaly_reco", 200, {"anomaly_reco": 200}),
    (LongVideoBench, "tspo_lvb_val.json", "val", 1_337, {"15": 189, "60": 172, "600": 412, "3600": 564}),
    (LVBench, "lvbench_video_info.meta.jsonl", "test", 1_549, {"entity recognition": 423}),
    (TempCompass, "tempcompass_multi-choice.json", "multi-choice", 1_580, {"action": 338}),
    (VideoMMMU, "videommmu_adaptation_video.json", "track", 300, {"Adaptation": 280}),
    (EasyVideoR1, "easyvideor1_holmes.json", "holmes", 1_837, {}),
    (EasyVideoR1, "easyvideor1_minerva.json", "minerva", 1_431, {}),
    (EasyVideoR1, "easyvideor1_mlvu-test.json", "mlvu-test", 502, {}),
]  # fmt: skip


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every video exists, so that annotations can be read without any."""
    monkeypatch.setattr("os.path.exists", lambda path: True)


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize(
    ("reader", "name", "split", "rows", "categories"), WHOLE, ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_published_file_is_read_whole(
    real_data: Path, reader: Reader, name: str, split: str, rows: int, categories: dict[str, int]
):
    read = reader(str(real_data / "annotations" / name), "videos", split=split)
    reading = read.read()
    assert reading.rows == rows, "as many as published"
    open_questions = 20 if reader is VideoMMMU else 0
    assert len(reading.invalid) == open_questions and not reading.missing
    assert len({record.uid for record in reading.records}) == len(reading.records)
    found = Counter(record.category for record in reading.records)
    assert {kind: found[kind] for kind in categories} == categories
    letters = {record.target.choice for record in reading.records if record.options}
    assert not letters or letters >= {"A", "B", "C", "D"}, "no letter is lost on the way"


@pytest.mark.usefixtures("everywhere")
def test_a_file_of_another_split_is_refused_and_a_part_of_one_is_said(
    real_data: Path, caplog: pytest.LogCaptureFixture
):
    notes = real_data / "annotations"
    wrong = CharadesSTA(str(notes / "charades_sta_test.txt"), "videos", split="train")
    with pytest.raises(ValueError, match=r"3,720 rows are those of the split test, not of train \(12,408\); name the"):
        wrong.records()
    with pytest.raises(
        ValueError, match=r"split must be null .* or one of train \(37,421 rows\), val_1 .* got 'valid'"
    ):
        ActivityNetCaptions("a.json", "videos", split="valid")
    with caplog.at_level(logging.WARNING):
        ActivityNetCaptions(str(notes / "activitynet_captions_3clips.json"), "videos", split="train").records()
    assert "rows, but the published train split has 37,421: scores of a part of it" in caplog.text


def one(tmp_path: Path, reader: Reader, text: str, name: str = "rows.json", **options: object) -> Record:
    """The single record of a file with this text."""
    (tmp_path / name).write_text(text)
    found: Reading = reader(str(tmp_path / name), "videos", **options).read()
    assert not found.invalid, found.invalid[0].reason
    (record,) = found.records
    return record


@pytest.mark.usefixtures("everywhere")
def test_benchmarks_that_ask_when_are_read_by_their_schemas(tmp_path: Path):
    row: dict[str, object] = {
        "path": "./x/charades/KWZSA.mp4", "question": "a person sits", "answer": "13.4-28.1", "start": None,
        "end": None, "duration": 30.12, "dataset_name": "charades", "qsemtype": "Human Pose", "bins": {},
    }  # fmt: skip
    record = one(tmp_path, TVGBench, json.dumps([row]))
    assert (record.source, record.category, record.video.path) == ("charades", "Human Pose", "videos/KWZSA.mp4")
    assert record.target.spans == (Span(13.4, 28.1),) and record.video.start is None
    cut = one(tmp_path, TVGBench, json.dumps([{**row, "start": 10, "end": 50}]))
    assert (cut.video.start, cut.video.end) == (10.0, 50.0)

    bench = {"3MSZA": {"duration": 29.6, "spans": [[24.3, 29.0]], "queries": ["a light goes on."]}}
    record = one(tmp_path, TimeLensBench, json.dumps(bench))
    assert record.question == "a light goes on." and record.target.spans == (Span(24.3, 29.0),)

    moment = {
        "src_video_path": "a/b.mp4",
        "qry_text": "a cat",
        "answering_time_interval": [[1, 2], [5, 9]],
        "task": "t",
    }
    assert len(one(tmp_path, MomentSeeker, json.dumps([moment])).target.spans) == 2

    tsv = 'id\tvideo\tquestion\tanswer\n7\tv1\tWhen?\t"<time>1.5 - 3 seconds</time>, <time>5.0 - 8 seconds</time>"\n'
    record = one(tmp_path, OMTG, tsv, "rows.tsv")
    assert record.target.spans == (Span(1.5, 3.0), Span(5.0, 8.0)) and record.uid == "omtg/rows:7"

    asked = {
        "clip_start_sec": 3.0,
        "clip_end_sec": 5.5,
        "query": "Query Text: where is it",
        "template": "Objects: where",
    }
    clip = {"clip_uid": "c1", "annotations": [{"annotation_uid": "a1", "language_queries": [asked]}]}
    record = one(tmp_path, Ego4DNLQ, json.dumps({"videos": [{"clips": [clip]}]}))
    assert (record.question, record.target.spans, record.video.path) == (
        "where is it",
        (Span(3, 5.5),),
        "videos/c1.mp4",
    )
    flat = {
        "video_id": "c1",
        "query_id": "q",
        "query": "where",
        "duration": 480,
        "timestamps": [[1, 2]],
        "query_type": "t",
    }
    assert one(tmp_path, Ego4DNLQ, json.dumps(flat), "rows.jsonl").category == "t"

    rtl = {"question_id": "q1", "vid": "abc", "duration": 30.0, "question": "Why?", "answer": "<20.5> <35> He falls."}
    record = one(tmp_path, ActivityNetRTL, json.dumps([rtl]))
    assert record.target.spans == (Span(20.5, 30.0),) and record.video.path == "videos/v_abc.mp4"


@pytest.mark.usefixtures("everywhere")
def test_benchmarks_that_ask_for_an_option_are_read_by_their_schemas(tmp_path: Path):
    holmes = {
        "video ID": "fH6", "Question ID": 3, "Question Type": "SR", "Question": "Who?", "Answer": "B",
        "Options": {"A": "one", "B": "two", "C": "three"}, "Explanation": "",
    }  # fmt: skip
    record = one(tmp_path, VideoHolmes, json.dumps([holmes]))
    assert (record.options, record.target.choice, record.category) == (("one", "two", "three"), "B", "SR")
    mv = {"video": "x.mp4", "question": "What?", "candidates": ["a", "b"], "answer": "b", "start": 2.5, "end": 9.0}
    record = one(tmp_path, MVBench, json.dumps([mv]), "action_count.json")
    assert (record.target.choice, record.category, record.video.start, record.video.end) == (
        "B",
        "action_count",
        2.5,
        9.0,
    )
    vu = {
        "id": "v1", "video": "https://a/b/12.mp4", "question_type": "multiple-choice", "metadata": {"subject": "Art"},
        "question": "What?", "choices": {"A": "x", "B": "y", "C": "", "D": "", "E": ""}, "answer": "B",
    }  # fmt: skip
    record = one(tmp_path, MMVU, json.dumps([vu]))
    assert (record.options, record.category, record.video.path) == (("x", "y"), "Art", "videos/12.mp4")
    minerva = {"key": "k", "video_id": "v", "question": "Q", "answer_id": 1, "category": "Sports"}
    minerva |= {f"answer_choice_{number}": f"text {number}" for number in range(5)}
    assert one(tmp_path, MINERVA, json.dumps([minerva])).target.choice == "B"
    yes_no = {"12": {"speed": [{"question": "Is it fast?", "answer": "no"}]}}
    record = one(tmp_path, TempCompass, json.dumps(yes_no))
    assert (record.options, record.target.choice, record.category) == (("yes", "no"), "B", "speed")
    toy = {
        "video": "demo/208.mp4", "original_question": "<image>\nWhat is first?\nA. Sandy shore.\nB. misty forest.",
        "original_answer": "A. Sandy shore.", "problem": "<image>\nWhat is first?", "solution": "<answer>a</answer>",
        "complete_answer": "A. Working with a drill press.", "type": "general",
    }  # fmt: skip
    record = one(tmp_path, TSPOJsonl, json.dumps(toy), "example1.jsonl")
    assert (record.question, record.target.choice, record.options[1]) == ("What is first?", "A", "misty forest.")


@pytest.mark.usefixtures("everywhere")
def test_mlvu_and_mvbench_read_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    row = {"video": "a.mp4", "duration": 9.0, "question": "How many?", "candidates": ["1", "2"], "answer": "2"}
    (tmp_path / "json").mkdir()
    for name in ("4_count", "5_order"):
        (tmp_path / "json" / f"{name}.json").write_text(json.dumps([{**row, "question_type": name[2:]}]))
    (tmp_path / "videos" / "4_count").mkdir(parents=True)
    found = MLVU(str(tmp_path / "json"), str(tmp_path / "videos")).records()
    assert [Path(record.video.path).parent.name for record in found] == ["4_count", "videos"]
    assert [record.category for record in found] == ["count", "order"]
    tasks = MVBench(str(tmp_path / "json"), str(tmp_path / "videos")).records()
    assert [record.category for record in tasks] == ["4_count", "5_order"]


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize(
    ("reader", "row", "said"),
    [
        (
            VueTR,
            {"query_id": 0, "video_id": "a", "duration": 9, "query": "q", "gt": []},
            r"row 1: no `gt`; a query needs",
        ),
        (
            TVGBench,
            {"path": "a", "question": "q", "answer": "about 3", "duration": 9},
            r'must be "start-end" in seconds',
        ),
        (
            ActivityNetRTL,
            {"vid": "a", "duration": 9, "question": "q", "answer": "3 to 5"},
            r"must hold <start> and <end>",
        ),
        (MomentSeeker, {"src_video_path": "a", "qry_text": "q"}, r"no `answering_time_interval`"),
        (
            TVGBench,
            {"path": "a", "question": "q", "answer": "1-2", "duration": 9, "start": 5, "end": 5},
            r"the part 5.0 to 5.0 of the video has no length",
        ),
    ],
)
def test_an_annotation_without_a_span_is_named(tmp_path: Path, reader: Reader, row: dict[str, object], said: str):
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    with pytest.raises(ValueError, match=said):
        reader(str(tmp_path / "rows.json"), "videos", invalid="error").records()


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize(
    ("factor", "said"),
    [(25.0, "of 12 rows end behind their clip, so they are not seconds but frames"), (1 / 30, "shares")],
)
def test_times_in_another_unit_are_refused(tmp_path: Path, factor: float, said: str):
    rows = {
        f"v{n}": {"duration": 30.0, "timestamps": [[factor * n, factor * (n + 9)]], "sentences": ["x"]}
        for n in range(12)
    }
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=said):
        CharadesCD(str(tmp_path / "rows.json"), "videos").records()


@pytest.mark.usefixtures("everywhere")
def test_temporal_r1_takes_the_length_of_charades_from_its_durations(tmp_path: Path):
    item = {
        "dataset": "charades_train", "video": "AO8RW.mp4", "solution": [0.25, 0.5],
        "problem": 'Give the query: "a dog", when does it occur?',
    }  # fmt: skip
    (tmp_path / "train.json").write_text(json.dumps([item]))
    (tmp_path / "charades.json").write_text(json.dumps({"AO8RW": {"duration": 40.0}}))
    (tmp_path / "tvg.yaml").write_text("datasets:\n  - {json_path: train.json, data_folder: videos}\n")
    reader = TemporalR1Yaml(str(tmp_path / "tvg.yaml"), str(tmp_path), durations=str(tmp_path / "charades.json"))
    (record,) = reader.records()
    assert record.target.spans == (Span(10.0, 20.0),) and record.duration == 40.0
    with pytest.raises(ValueError, match=r"no `video_length`, in seconds; give it, or durations=<charades.json>"):
        TemporalR1Yaml(str(tmp_path / "tvg.yaml"), str(tmp_path), invalid="error").records()


HOSTILE: list[object] = [None, 3, "text", [], {}, [[]], {"video": None}, {"question": 5, "options": {"A": 1}}]
QUESTIONS: list[Reader] = [VideoMME, MLVU, LongVideoBench, LVBench, VideoHolmes, MVBench, MMVU, MINERVA, EasyVideoR1]
MOMENTS: list[Reader] = [TVGBench, VueTR, MomentSeeker, ActivityNetRTL]


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("reader", [*QUESTIONS, *MOMENTS], ids=lambda reader: reader.__name__)
def test_rows_of_any_shape_are_counted_and_not_a_crash(tmp_path: Path, reader: Reader):
    names = (
        "path", "question", "answer", "duration", "gt", "qa", "choices", "candidates", "Options", "Answer", "metadata",
        "video", "video_path", "videoID", "solution", "problem", "start", "answering_time_interval", "vid",
    )  # fmt: skip
    rows = [*HOSTILE, *(dict.fromkeys(names, value) for value in HOSTILE)]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    reading = reader(str(tmp_path / "rows.jsonl"), "videos").read()
    assert not reading.records and len(reading.invalid) >= len(rows)
