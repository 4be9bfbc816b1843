"""A disk that becomes full is said with the file's name, and costs nothing that was written."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from helpers.running import TINY
from helpers.scripting import Script

from kairos.compose import compose, part
from kairos.core.files import NotWritten, replacing_folder, write_whole
from kairos.policy.language import LanguagePolicy
from kairos.policy.models.export import HuggingFaceFolder
from kairos.runs.row_files import RowFile


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Inside this context no file grows beyond `size` bytes: the kernel refuses, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_cannot_be_written_is_named_and_stays_as_it_was(tmp_path: Path):
    write_whole(tmp_path / "note.txt", "before")
    with files_of_at_most(1000), pytest.raises(NotWritten, match=r"note.txt cannot be written .File too large.: free"):
        write_whole(tmp_path / "note.txt", "after" * 1000)
    assert (tmp_path / "note.txt").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_a_folder_that_cannot_be_written_is_named_and_stays_as_it_was(tmp_path: Path):
    write_whole(tmp_path / "model" / "weights", "before")
    with (
        files_of_at_most(1000),
        pytest.raises(NotWritten, match=r"model cannot be written .File too large"),
        replacing_folder(tmp_path / "model") as folder,
    ):
        (folder / "weights").write_text("after" * 1000)
    assert (tmp_path / "model" / "weights").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_rows_that_cannot_be_written_are_named(tmp_path: Path):
    with files_of_at_most(1000), pytest.raises(NotWritten, match=r"metrics.jsonl cannot be written"):
        RowFile(tmp_path / "metrics.jsonl").append([{"iteration": 1, "text": "x" * 2000}])


def test_a_model_that_cannot_be_exported_is_named_and_stays_as_it_was(tmp_path: Path):
    policy = cast("LanguagePolicy", part(compose(TINY).policy))
    policy.build()
    export = HuggingFaceFolder()
    export(policy, tmp_path / "model")
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    size = len(before["model.safetensors"]) // 2
    with files_of_at_most(size), pytest.raises(NotWritten, match=r"model cannot be written .*File too large"):
        export(policy, tmp_path / "model")
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before


def test_a_run_on_a_full_disk_says_so_in_one_line(script: Script, capfd: pytest.CaptureFixture[str]):
    with files_of_at_most(3000):
        code = script("train", "policy=toy", "data=toy", "template=answer", "iterations=1", "name=full")
    assert code == 1
    said = capfd.readouterr().err.strip()
    assert "runs/full/" in said and "cannot be written (File too large): free space" in said
    assert "Traceback" not in said
