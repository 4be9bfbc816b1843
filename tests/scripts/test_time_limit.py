"""A sweep within a time limit: what would not end in time is not begun, what runs at the end is stopped."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from hydra_plugins.kairos_torchrun._commands import Job
from hydra_plugins.kairos_torchrun._places import Place
from hydra_plugins.kairos_torchrun._pool import run_all
from hydra_plugins.kairos_torchrun.launcher import TorchrunLauncher
from kairos.runs.folder import RunFolder


def job(folder: Path, seconds: float) -> Job:
    """It does what `sleep` does, and then it is a finished run; one process, so that it stops at once."""
    code = f"import time, pathlib; time.sleep({seconds}); pathlib.Path(r'{folder}', 'summary.json').write_text('{{}}')"
    command = (sys.executable, "-S", "-c", code)
    return Job(f"#{folder.name}", (), RunFolder(folder), command, False)


def test_nothing_begins_that_would_not_end_in_time(tmp_path: Path):
    jobs = [job(tmp_path / str(n), 0.5) for n in range(4)]
    begun = time.perf_counter()
    failed, left = run_all(jobs, [Place()], lambda: None, seconds=1.5)
    assert time.perf_counter() - begun < 2.5 and not failed and 0 < len(left) < 4, "four of them take two seconds"
    assert all(each.run.finished for each in jobs if each not in left)
    assert not any(each.run.path.exists() for each in left), "none was begun and stopped"
    failed, left = run_all(jobs, [Place(), Place()], lambda: None)
    assert not failed and not left and all(each.run.finished for each in jobs), "repeated, it does what is left"


def test_what_runs_at_the_end_is_stopped(tmp_path: Path):
    jobs, begun = [job(tmp_path / "a", 60.0), job(tmp_path / "b", 60.0)], time.perf_counter()
    failed, left = run_all(jobs, [Place()], lambda: None, seconds=0.5)
    assert not failed and left == jobs and time.perf_counter() - begun < 15
    assert not jobs[0].run.finished and not (tmp_path / "b").exists()


def test_a_limit_is_positive():
    with pytest.raises(ValueError, match=r"hydra.launcher.minutes must be > 0, or null for no limit, got 0"):
        TorchrunLauncher(minutes=0)
