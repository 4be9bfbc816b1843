"""Submission files: each format reads what it writes, and what cannot be scored is said with its row and remedy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kairos.core.grammar import STRICT
from kairos.core.spans import Span
from kairos.core.types import Target, VideoSource
from kairos.data.readers.moments.ego4d_nlq import Ego4DNLQ
from kairos.data.records import Record
from kairos.evaluation.submissions.formats import FORMATS, format_of, recognised
from kairos.evaluation.submissions.grading import Graded, graded
from kairos.evaluation.submissions.submitted import Row, SubmissionError

SPANS = [(2.0, 8.0), (120.0, 140.0), (105.0, 125.0), (0.0, 100.0), (130.0, 149.0), (110.0, 120.0)]
GROUNDING = [
    Record(
        uid=f"some/val:{number}_a_{number}", task="grounding", source="some",
        video=VideoSource(f"videos/v{number}.mp4"),
        question=f"a  person sits {number}.", target=Target(spans=(Span(*span),)), duration=150.0,
    )
    for number, span in enumerate(SPANS)
]  # fmt: skip
CHOICE = [
    replace(record, task="choice", target=Target(choice="B"), options=("a dog", "a cat"), duration=None)
    for record in GROUNDING
]
FIT = {name: CHOICE if name in ("videomme", "mlvu", "lvbench", "longvideobench") else GROUNDING for name in FORMATS}


def perfect(records: list[Record]) -> list[Row]:
    """Every row answered as it is annotated."""
    rows = []
    for place, record in enumerate(records):
        found = graded([], [record], format_of("kairos"), STRICT).predictions[0]
        spans, choice = record.target.spans, record.target.choice
        text = f"<answer>{choice or f'{spans[0].start} to {spans[0].end}'}</answer>"
        rows.append(Row(place, record, replace(found, text=text, spans=spans, choice=choice, reason=None)))
    return rows


def read_back(name: str, path: Path, records: list[Record], times: str | None = None) -> Graded:
    return graded(format_of(name).read(path), records, format_of(name), STRICT, times)


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_reads_what_it_writes(name: str, tmp_path: Path):
    path = tmp_path / f"answers{format_of(name).suffix}"
    format_of(name).write(perfect(FIT[name]), path)
    if name not in ("lvbench", "longvideobench"):  # whose ids are of no form of their own
        assert recognised(path) == name
    found = read_back(name, path, FIT[name])
    assert not found.missing and found.remark() is None
    rows = found.predictions
    assert all((row.iou == pytest.approx(1.0)) if row.target_spans else row.correct for row in rows)
    assert [row.video for row in rows] == [f"v{number}.mp4" for number in range(6)]


def written(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_missing_rows_count_as_0_and_double_and_unknown_ones_are_refused(tmp_path: Path):
    rows = [{"uid": record.uid, "spans": [list(record.target.spans[0])]} for record in GROUNDING]
    found = read_back("kairos", written(tmp_path / "few.jsonl", rows[:4]), GROUNDING)
    assert [row.iou for row in found.predictions] == [1.0] * 4 + [0.0] * 2
    assert [row.reason for row in found.predictions[4:]] == ["missing"] * 2
    assert found.remark() == ("2 of 6 rows are not in the file and count as 0: 'some/val:4_a_4', 'some/val:5_a_5'")
    for more, message in (
        ([rows[0], rows[3]], r"2 rows are answered twice: 'some/val:0_a_0', .*wrong.jsonl:1 and .*wrong.jsonl:7\)"),
        ([{"uid": "other/val:9", "spans": []}], "1 of 7 rows name nothing in this split, such as 'other/val:9'.*anoth"),
    ):
        with pytest.raises(SubmissionError, match=message):
            read_back("kairos", written(tmp_path / "wrong.jsonl", [*rows, *more]), GROUNDING)


@pytest.mark.parametrize(
    ("scale", "times", "message"),
    [
        (1 / 150, "fractions", "look like fractions of the clip: say times=fractions"),
        (100 / 150, "percent", "look like per cent of the clip: say times=percent"),
        (30.0, None, "look like frame numbers: divide them by the frames a second"),
    ],
)
def test_times_in_another_unit_are_noticed_and_converted_where_asked(
    scale: float, times: str | None, message: str, tmp_path: Path
):
    rows = [
        {"uid": record.uid, "spans": [[time * scale for time in record.target.spans[0]]]}
        for record in GROUNDING
        if scale < 1 or record.target.spans[0].start > 0
    ]
    records = [replace(r, target=Target(spans=(Span(*SPANS[i]),))) for i, r in enumerate(GROUNDING)]
    path = written(tmp_path / "answers.jsonl", rows)
    with pytest.raises(SubmissionError, match=message):
        read_back("kairos", path, records)
    assert read_back("kairos", path, records, "seconds").predictions, "whoever means seconds says so"
    if times is not None:
        found = read_back("kairos", path, records, times)
        assert [row.iou for row in found.predictions] == [pytest.approx(1.0)] * 6


def test_a_file_that_is_none_of_the_format_says_so(tmp_path: Path):
    path = tmp_path / "x.jsonl"
    for rows, name, message in (
        ([{"qid": 1}], "qvhighlights", "x.jsonl:1 has no 'pred_relevant_windows'.*is it another format="),
        ([{"qid": 1, "pred_relevant_windows": [[1, "2"]]}], "qvhighlights", r"\[1, '2'\] is no \[start, end\]"),
        ([{"uid": "a", "choice": "dog"}], "kairos", "'dog' is no letter of an option"),
        ([[1]], "kairos", "x.jsonl:1 is no JSON object"),
    ):
        with pytest.raises(SubmissionError, match=message):
            format_of(name).read(written(path, rows))
    with pytest.raises(SubmissionError, match="its rows do not tell the format; say format="):
        recognised(written(path, [{"a": 1}]))
    with pytest.raises(SubmissionError, match=r"nowhere\.jsonl: there is no such file"):
        format_of("kairos").read(tmp_path / "nowhere.jsonl")
    with pytest.raises(ValueError, match="there is no format 'qvhighlight'; did you mean qvhighlights"):
        format_of("qvhighlight")


def test_official_queries_of_ego4d_are_answered_by_the_names_of_their_submission(tmp_path: Path):
    asked = [{"clip_start_sec": start, "clip_end_sec": start + 2.0, "query": "where"} for start in (1.0, 5.0)]
    annotations = [{"annotation_uid": "a1", "language_queries": asked}]
    (tmp_path / "nlq_val.json").write_text(
        json.dumps({"videos": [{"clips": [{"clip_uid": "c1", "annotations": annotations}]}]})
    )
    (tmp_path / "c1.mp4").touch()
    records = Ego4DNLQ(str(tmp_path / "nlq_val.json"), str(tmp_path)).records()
    path = tmp_path / "answers.json"
    format_of("ego4d_nlq").write(perfect(records), path)
    written = json.loads(path.read_text())["results"]
    assert [(row["clip_uid"], row["annotation_uid"], row["query_idx"]) for row in written] == [
        ("c1", "a1", 0), ("c1", "a1", 1),
    ]  # fmt: skip
    assert [row.iou for row in read_back("ego4d_nlq", path, records).predictions] == [1.0, 1.0]


def test_windows_in_shares_of_the_clip_are_converted_with_their_confidences(tmp_path: Path):
    """And where the wording lists no spans, the IoU is that of the first window."""
    path = tmp_path / "answers.jsonl"
    windows = [[0.2, 0.4, 0.5], [0.0, 0.1, 0.9]]
    rows = [{"qid": record.uid.rpartition(":")[2], "pred_relevant_windows": windows} for record in GROUNDING]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    row = read_back("qvhighlights", path, GROUNDING, "fractions").predictions[3]
    assert row.ranked == ((30.0, 60.0, 0.5), (0.0, 15.0, 0.9)) and row.spans == (Span(30, 60), Span(0, 15))
    assert row.iou == pytest.approx(0.3)
