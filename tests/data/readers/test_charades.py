"""Charades-STA: every line is read or named; the real files hold what the literature counts."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from kairos.core.spans import Span
from kairos.data.readers.annotation_file import AnnotationError, MissingVideo
from kairos.data.readers.charades import CharadesSTA


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "AAAAA.mp4").write_bytes(b"x")
    (tmp_path / "durations.json").write_text(json.dumps({"AAAAA": {"duration": 30.0}, "BBBBB": {"duration": 9.0}}))
    return tmp_path


def reader(folder: Path, *lines: str, **options: object) -> CharadesSTA:
    (folder / "sta.txt").write_text("\n".join(lines) + "\n")
    return CharadesSTA(
        str(folder / "sta.txt"), str(folder), str(folder / "durations.json"), **options  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_line_becomes_a_record(folder: Path) -> None:
    (record,) = reader(folder, "AAAAA 24.3 30.0##person turn a light on.").records()
    assert (record.task, record.question, record.duration) == ("grounding", "person turn a light on.", 30.0)
    assert record.target.spans == (Span(24.3, 30.0),)
    assert record.uid == "charades_sta/AAAAA/sta:1"
    assert record.video.path.endswith("AAAAA.mp4")


def test_rows_without_their_video_are_counted_named_and_not_fatal(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    charades = reader(folder, "AAAAA 1 2##a.", "BBBBB 1 2##b.", "BBBBB 3 4##c.")
    with caplog.at_level(logging.WARNING):
        assert len(charades.records()) == 1
    assert [failure.uid for failure in charades.missing_videos()] == ["sta.txt:2", "sta.txt:3"]
    assert "2 of 3 rows left out, without their video" in caplog.text
    assert "row 2: no video" in caplog.text and "BBBBB.mp4" in caplog.text
    with pytest.raises(MissingVideo, match=r"row 2: no video .*BBBBB.mp4; put it there \(data.missing=skip"):
        reader(folder, "AAAAA 1 2##a.", "BBBBB 1 2##b.", missing="error").records()
    with pytest.raises(
        ValueError,
        match=r"none of 1 rows can be used; no video was found: is data.videos right\?; the first: .*BBBBB.mp4",
    ):
        reader(folder, "BBBBB 1 2##b.").records()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("AAAAA 7.5 1.0##a.", "row 2: span 7.5 to 1 is reversed"),
        ("AAAAA nan 1.0##a.", "row 2: span nan to 1.0 is not a pair of numbers"),
        ("AAAAA 2.0 inf##a.", "row 2: span 2.0 to inf is not a pair of numbers"),
        ("AAAAA 5.0 5.0##a.", "row 2: span 5 to 5 has zero length"),
        ("AAAAA five 6##a.", "row 2: 'five' to '6' are not two numbers"),
        ("AAAAA 5.0 6.0 a.", "row 2: not `VID start end##sentence`"),
    ],
)
def test_a_span_that_is_none_names_file_row_and_remedy(folder: Path, line: str, complaint: str) -> None:
    good = "AAAAA 1 2##a."
    reading = reader(folder, good, line).read()
    assert len(reading.records) == 1
    (failure,) = reading.invalid
    assert failure.uid == "sta.txt:2" and complaint in failure.reason and "sta.txt" in failure.reason
    assert "correct the line, or leave such rows out with invalid=skip" in failure.reason
    with pytest.raises(AnnotationError) as raised:
        reader(folder, good, line, invalid="error").records()
    assert str(raised.value) == failure.reason


def test_a_video_without_a_duration_says_which_file_lacks_it(folder: Path) -> None:
    (failure,) = reader(folder, "CCCCC 1 2##a.").read().invalid
    assert "durations.json has no CCCCC; add it, or set durations=null" in failure.reason


def test_a_span_beyond_the_duration_is_kept_and_counted_or_cut(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    line = "AAAAA 24.0 31.5##a."
    assert reader(folder, line).records()[0].target.spans == (Span(24.0, 31.5),)
    assert "1 spans end behind the duration (kept; clamp=true cuts them)" in caplog.text
    assert reader(folder, line).read().beyond == 1
    cut = reader(folder, line, "AAAAA 31 32##b.", clamp=True).read()
    assert cut.records[0].target.spans == (Span(24.0, 30.0),) and cut.beyond == 0
    assert "span 31 to 32 lies outside the 30.0 s of the clip" in cut.invalid[0].reason


def test_an_option_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="missing must be skip, error or keep, got 'ignore'"):
        CharadesSTA("a", "b", missing="ignore")  # type: ignore[arg-type]


def test_the_real_files_hold_what_the_literature_counts(real_data: Path) -> None:
    notes = real_data / "annotations"
    for split, lines, usable in (("train", 12408, 0), ("test", 3720, 6)):
        charades = CharadesSTA(
            str(notes / f"charades_sta_{split}.txt"), str(real_data / "videos"), str(notes / "charades.json")
        )
        reading = charades.read()
        assert len(reading.records) + len(reading.missing) + len(reading.invalid) == lines
        assert len(reading.records) == usable
    rows = charades.records()
    assert {Path(row.video.path).name for row in rows} == {"OHOFG.mp4"}
    assert {row.target.spans[0] for row in rows} == {Span(22.3, 33.0), Span(1.0, 7.5)}
    assert len({row.uid for row in rows}) == 6


def test_the_real_test_rows_end_behind_their_duration_as_often_as_is_known(real_data: Path, tmp_path: Path) -> None:
    notes = real_data / "annotations"
    lines = (notes / "charades_sta_test.txt").read_text().splitlines()
    for video in {line.split()[0] for line in lines}:
        (tmp_path / f"{video}.mp4").touch()
    charades = CharadesSTA(str(notes / "charades_sta_test.txt"), str(tmp_path), str(notes / "charades.json"))
    reading = charades.read()
    assert (len(reading.records), reading.beyond, reading.invalid) == (3720, 562, ())
    assert len({record.video.path for record in reading.records}) == 1334
