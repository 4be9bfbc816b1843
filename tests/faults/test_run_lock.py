"""One process at a time writes to a run's folder; the second one says who does, and leaves."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.processes import environment
from helpers.running import TOY, rows

from kairos.compose import train
from kairos.runs.folder import LOCK, RunError, RunFolder
from kairos.runs.lock import locked, locked_run_of

SMALL = [*TOY, "callbacks.validation=null", "callbacks.export=null", "callbacks.checkpoint.every=1", "name=a"]


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begun(repository: Path, *overrides: str) -> subprocess.Popen[str]:
    """A training process in the folder runs/a, in its first iterations."""
    process = subprocess.Popen(
        [sys.executable, str(repository / "scripts" / "train.py"), *SMALL, *overrides],
        env=environment(repository), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list(Path("runs/a").glob("checkpoints/iteration-*.ckpt")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.02)
    return process


@pytest.fixture
def running(repository: Path):
    process = begun(repository, "iterations=100000", "workers=1")
    yield process
    process.kill()
    process.communicate()


def test_whoever_writes_to_a_folder_in_use_is_told_by_whom(running: subprocess.Popen[str], repository: Path):
    who = rf"runs/a is being written by process {running.pid} on {socket.gethostname()}, since \d{{4}}-.*choose another"
    for more in ([], ["overwrite=true"]):
        with pytest.raises(RunError, match=who):
            train([*SMALL, "iterations=100000", "workers=1", *more])
    done = subprocess.run(
        [sys.executable, str(repository / "scripts" / "evaluate.py"), "run=runs/a", "output=runs/a/scores.json"],
        env=environment(repository), capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 1 and f"is being written by process {running.pid}" in done.stderr
    assert "Traceback" not in done.stderr and not Path("runs/a/scores.json").exists()
    assert running.poll() is None and RunFolder(Path("runs/a")).begun, "nothing was taken from the first"


def test_a_killed_process_holds_nothing_even_if_its_loader_process_still_runs(running: subprocess.Popen[str]):
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert Path("runs/a", LOCK).exists()
    train([*SMALL, "iterations=100000", "workers=1", "callbacks.checkpoint.every=1", "iterations=5", "overwrite=true"])
    assert RunFolder(Path("runs/a")).finished and len(rows(Path("runs/a/metrics.jsonl"))) == 5
    assert not Path("runs/a", LOCK).exists()


def test_a_folder_is_free_again_and_nothing_of_the_lock_is_left():
    folder = Path("runs/b")
    with locked(folder):
        says = json.loads((folder / LOCK).read_text())
        assert says["pid"] == os.getpid() and says["host"] == socket.gethostname()
        with pytest.raises(RunError, match=f"process {os.getpid()} on"):
            locked(folder).__enter__()
    assert not folder.exists()
    with pytest.raises(KeyError), locked(folder):
        (folder / "kept").touch()
        raise KeyError
    assert [path.name for path in folder.iterdir()] == ["kept"]
    with locked(folder):
        pass


def test_a_file_system_without_locks_is_said_and_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def flock(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(Path("runs/a")), locked(Path("runs/a")):
        pass
    assert capsys.readouterr().err.count("runs/a cannot be locked ([Errno 37] No locks available)") == 2


def test_only_what_lies_in_a_run_takes_its_lock():
    Path("runs/a").mkdir(parents=True)
    with locked_run_of(Path("scores.json")), locked_run_of(Path("runs/a/scores.json")):
        assert not Path("runs/a", LOCK).exists()
    Path("runs/a/config.yaml").touch()
    with locked_run_of(Path("runs/a/predictions/scores.json")):
        assert Path("runs/a", LOCK).exists()
