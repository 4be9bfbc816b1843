"""Filling a store ahead of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from helpers.rendering import render
from rich.console import Console

from kairos.core.types import VideoSource
from kairos.video.errors import StoreError
from kairos.video.loader import ClipLoader, filled
from kairos.video.store.caching import cache


@pytest.fixture
def sources(clips: Path, tmp_path: Path) -> list[VideoSource]:
    (tmp_path / "empty.mp4").touch()
    good = [VideoSource(str(clips / "clip.mp4"), float(i), float(i + 3)) for i in range(5)]
    return [*good, VideoSource(str(tmp_path / "empty.mp4")), VideoSource(str(tmp_path / "none.mp4")), good[0]]


def test_caching_stores_what_it_can_and_says_what_it_cannot(loader: ClipLoader, sources: list[VideoSource]) -> None:
    report = cache(sources, loader, workers=2, console=Console(file=StringIO()))
    assert (report.clips, report.written, report.present, len(report.failed)) == (7, 5, 0, 2)
    rows = [json.loads(line) for line in report.failures.read_text().splitlines()]
    assert {Path(row["path"]).name: row["reason"].split(": ")[1].split(";")[0] for row in rows} == {
        "empty.mp4": "the file is empty (0 bytes)",
        "none.mp4": "there is no such file",
    }
    assert report.failures == loader.store.folder / "failures.jsonl"
    assert "7 clips: 5 written, 0 already there, 2 failed" in str(report)
    replace(loader, on_miss="require").check(sources[:5])


def test_caching_again_resumes(loader: ClipLoader, sources: list[VideoSource], tmp_path: Path) -> None:
    cache(sources[:2], loader, workers=1, console=Console(file=StringIO()))
    (tmp_path / "empty.mp4").unlink()
    render(tmp_path / "empty.mp4")
    report = cache(sources[:6], loader, workers=2, console=Console(file=StringIO()))
    assert (report.written, report.present, report.failed) == (4, 2, ())
    assert not report.failures.exists()


def test_the_progress_bar_counts(loader: ClipLoader, sources: list[VideoSource]) -> None:
    out = StringIO()
    cache(sources, loader, workers=2, console=Console(file=out, force_terminal=True, width=100))
    assert "7/7" in out.getvalue() and "2 failed" in out.getvalue()


def test_a_store_that_cannot_be_written_stops_the_work(loader: ClipLoader, sources: list[VideoSource]) -> None:
    loader.store.folder.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=r"0 of 5 clips are stored \(0 of them now\): .* cannot be written"):
        cache(sources[:5], loader, workers=2, console=Console(file=StringIO()))


def test_a_loader_that_requires_is_filled_all_the_same(loader: ClipLoader, sources: list[VideoSource]) -> None:
    required = replace(loader, on_miss="require")
    assert cache(sources[:1], required, workers=1, console=Console(file=StringIO())).written == 1
    assert not filled(required.load(sources[0]))
