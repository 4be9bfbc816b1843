"""A run that was killed while it wrote its first files begins again by the same command, and can be replaced."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.scripting import Script

from kairos.runs.folder import RunError, RunFolder


@pytest.mark.parametrize("more", [[], ["overwrite=true"]])
@pytest.mark.parametrize("left", [1, 2, 3])
def test_a_run_killed_among_its_first_files_begins_again(left: int, more: list[str], script: Script, tmp_path: Path):
    """Whatever it had written of the files that precede config.yaml, which is the last."""
    command = ["policy=toy", "data=toy", "template=answer", "trainer=cpu", "callbacks.progress=null", "iterations=1"]
    whole = RunFolder(tmp_path / "whole")
    whole.begin({"a": 1}, command, "versions", wording={"question": "?"})
    inside = sorted((path for path in whole.path.iterdir()), key=lambda path: path.stat().st_mtime_ns)
    assert "config.yaml" in inside[-1].name
    begun = tmp_path / "runs" / "killed"
    begun.mkdir(parents=True)
    for path in [path for path in inside if "config.yaml" not in path.name][: 2 * left]:
        (begun / path.name).write_bytes(path.read_bytes())
    assert not RunFolder(begun).begun
    assert script("train", *command, "name=killed", *more) == 0
    assert RunFolder(begun).finished


def test_a_folder_with_something_of_somebody_else_is_not_emptied(tmp_path: Path):
    (tmp_path / "overrides.yaml").touch()
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match=r"no config.yaml; remove it yourself"):
        RunFolder(tmp_path).clear()
    assert (tmp_path / "thesis.tex").exists()
