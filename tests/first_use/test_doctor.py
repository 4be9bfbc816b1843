"""`make doctor`: versions, and a line for each thing that a run does, with OK or what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kairos.doctor import Trials, main, tried


def test_a_machine_on_which_all_is_well(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "kairos.doctor"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.startswith("python ") and "\na decoding process gives up: " in done.stdout
    assert done.stdout.count("OK: ") == 4 and "the mini policy writes '<answer>" in done.stdout
    assert done.stdout.endswith("all is well\n") and not list(tmp_path.iterdir()), "nothing is left behind"


def test_what_fails_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "file"
    file.touch()
    ((name, _, fault, _),) = tried(file)
    assert name == "a folder" and "nothing can be written here" in fault and "another folder" in fault
    assert main(tmp_path / "file") == 1
    assert "then `make doctor` again" in capsys.readouterr().out


def test_a_cache_that_gives_other_frames_is_noticed(tmp_path: Path):
    trials = Trials(tmp_path)
    assert trials.decode().startswith("32 frames")
    assert trials._clip.frames_TCHW is not None
    trials._clip.frames_TCHW[0] += 1
    with pytest.raises(RuntimeError, match="other frames than were decoded"):
        trials.keep()
