"""A run without a name, its evaluation and its ends: what it says, where it lies, and the command that goes on."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from helpers.running import rows
from helpers.scripting import Script

from kairos.compose import train

RUN = [
    "policy=toy", "data=toy", "template=answer", "iterations=12", "prompts=2", "evaluate=both", "overwrite=true",
    "callbacks.validation=null", "callbacks.log.rollouts_every=0",
]  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """A run that was stopped by Ctrl-C and continued by the command that it gave."""

    folder: Path
    stopped: str
    """Stderr of the first process."""
    opened: str
    """Stdout of the first process."""
    command: str
    continued: str
    """Stdout and stderr of the second process."""


@pytest.fixture(scope="module")
def ended(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    place = tmp_path_factory.mktemp("ends")
    command = [sys.executable, str(repository / "scripts" / "train.py"), *RUN, "sampling={group_size: 8}"]
    first = subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not any(path.stat().st_size for path in place.glob("runs/*/metrics.jsonl")) and time.monotonic() < until:
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    first.send_signal(signal.SIGINT)
    opened, stopped = first.communicate(timeout=120)
    assert first.returncode == 130, stopped
    found = re.search(r"repeat the command to go on:\n  (.+)\n", stopped)
    assert found is not None, stopped
    again = subprocess.run(found[1], shell=True, cwd=place, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    (folder,) = place.glob("runs/*")
    return Ended(folder, stopped, opened, found[1], again.stdout + again.stderr)


def test_the_first_lines_say_what_is_trained_and_where_it_lies(ended: Ended):
    assert re.fullmatch(r"timezero-toy-[0-9a-f]{6}", ended.folder.name)
    method, place = ended.opened.splitlines()[:2]
    assert method == "timezero on toy: policy toy, 12 iterations of 2 prompts x 8 answers on the CPU"
    assert place.startswith(f"in runs/{ended.folder.name}: report.html at the end")


def test_ctrl_c_says_at_once_what_it_does_and_gives_the_command_that_goes_on(ended: Ended):
    assert (
        "\nSIGINT: the run ends after this iteration, with a checkpoint; at once, if it comes again\n" in ended.stopped
    )
    assert re.search(r"SIGINT: the run ends after iteration \d+ of 12; repeat the command", ended.stopped)
    assert "overwrite" not in ended.command and "'sampling={group_size: 8}'" in ended.command
    assert "continuing runs/" in ended.continued
    assert [row["iteration"] for row in rows(ended.folder / "metrics.jsonl")] == list(range(1, 13))


def test_off_a_terminal_there_is_a_line_an_iteration_and_evaluation_counts(ended: Ended):
    assert "answering val before 16/16" in ended.stopped and "answering val after 16/16" in ended.continued
    assert re.search(r"iteration 1/12  \d+\.\d s  reward/total \d", ended.stopped)
    assert len(re.findall(r"^iteration \d+/12", ended.stopped + ended.continued, re.MULTILINE)) == 12


def test_the_end_is_a_table_and_the_overrides_stand_on_the_page(ended: Ended):
    assert re.search(r"mIoU .*[│|] 0\.\d{3} .*[│|] 0\.\d{3} .*[│|] [+-]0\.\d{3}", ended.continued)
    assert "reward/total, first and last iteration" in ended.continued and "16 validation prompts" in ended.continued
    assert "{'" not in ended.continued and f"report: runs/{ended.folder.name}/report.html" in ended.continued
    page = (ended.folder / "report.html").read_text()
    assert all(override in page for override in ("policy=toy", "iterations=12", "template=answer"))


def test_an_evaluation_lies_in_the_runs_folder_and_a_second_one_beside_the_first(
    ended: Ended, script: Script, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(ended.folder.parents[1])
    for _ in range(2):
        assert script("evaluate", f"run=runs/{ended.folder.name}", "count=4") == 0
    done = capfd.readouterr()
    folders = sorted((ended.folder / "evaluation").iterdir())
    assert [re.sub("(?<=12-)[0-9a-f]{6}", "HASH", folder.name) for folder in folders] == [
        "val-iteration-000012-HASH", "val-iteration-000012-HASH-2",
    ]  # fmt: skip
    assert f"written: runs/{ended.folder.name}/evaluation/{folders[1].name}/scores.json" in done.out.replace("\n", "")
    asked = yaml.safe_load((folders[0] / "evaluated.yaml").read_text())
    assert asked["split"] == "val" and "count=4" in asked["overrides"] and "iteration-000012" in asked["checkpoint"]
    assert len(rows(folders[0] / "predictions" / "scores.default.jsonl")) == 4
    assert "answering val 4/4" in done.err


@pytest.mark.parametrize("wrong", ["policy.weights=nowhere/model", "data.annotations=nowhere.jsonl"])
def test_a_run_that_never_began_leaves_no_folder(wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, OSError)):
        train(["data=jsonl", "data.annotations=rows.jsonl", "memory_check=off", wrong, "name=never"])
    assert not (tmp_path / "runs" / "never").exists()
