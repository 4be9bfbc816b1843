"""scripts/rollouts.py: what a user types, what a run wrote, a live run and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.running import fit, rows
from helpers.scripting import Script

from kairos.runs.row_files import RowFile


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three iterations of a real run whose groups hold an injected row each."""
    workplace = tmp_path_factory.mktemp("workplace")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workplace)
        fit("name=a", "iterations=3", "injection=ground_truth", "callbacks.validation=null", "sampling.group_size=4")
    return workplace / "runs" / "a"


def test_every_rollout_of_a_run_is_printed_with_what_it_earned(
    run: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script("rollouts", f"run={run}") == 0
    text, written = capsys.readouterr().out, rows(run / "rollouts.jsonl")
    lines = text.splitlines()
    assert sum(line.startswith("  #") for line in lines) == len(written) == 3 * 4 * 4
    assert text.count("ground_truth") == 12 and lines[-1] == "rollouts shown: 48, prompts: 12"
    for row in written:
        (span,) = row["target"]  # type: ignore[misc]
        assert f"iteration {row['iteration']}  {row['uid']}  grounding toy" in lines and f"  {row['question']}" in lines
        assert any(f"target {span[0]:g} to {span[1]:g} s" in line for line in lines)
        earned = f"reward {row['reward']:.3f} (iou {row['terms']['iou']:.3f}"  # type: ignore[index]
        assert any(earned in line and f"advantage {row['advantage']:+.3f}" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "chosen"),
    [
        (["iteration=2"], lambda row: row["iteration"] == 2),
        (["iteration=2:"], lambda row: row["iteration"] >= 2),
        (["iteration=:2"], lambda row: row["iteration"] <= 2),
        (["iteration=2:3", "where=origin!=null"], lambda row: row["iteration"] >= 2),
        (["iteration=last", "where=origin=='policy'"], lambda row: row["iteration"] == 3 and row["origin"] == "policy"),
        (['where="ground" in origin and iteration<3'], lambda row: row["origin"] != "policy" and row["iteration"] < 3),
        (["where=not (reward>1, 0)"], None),
        (["where=terms.iou > 0.2 and reason == null"], lambda row: row["terms"]["iou"] > 0.2 and row["reason"] is None),
        (["where=truncated"], lambda row: row["truncated"]),
    ],
)  # fmt: skip
def test_what_is_typed_is_what_is_meant(
    run: Path, script: Script, capsys: pytest.CaptureFixture[str], arguments: list[str], chosen: object
) -> None:
    code = script("rollouts", f"run={run}", *arguments)
    lines = capsys.readouterr().out.splitlines()
    if not callable(chosen):
        assert code == 1
        return
    count = sum(map(chosen, rows(run / "rollouts.jsonl")))
    assert code == 0 and sum(line.startswith("  #") for line in lines) == count
    assert count or lines[-1].endswith("holds 3 iterations, from 1 to 3")


def test_the_best_are_printed_first(run: Path, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    assert script("rollouts", f"run={run}", "sort=-advantage", "limit=5") == 0
    found = [
        float(line.split("advantage ")[1].split()[0]) for line in capsys.readouterr().out.splitlines() if "#" in line
    ]
    best = sorted((row["advantage"] for row in rows(run / "rollouts.jsonl")), reverse=True)[:5]  # type: ignore[type-var]
    assert found == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["where=rewrd>1"],
            "error: where='rewrd>1', character 1: there is no field 'rewrd'; the fields are iteration,",
        ),
        (["where=reward=1"], "error: where='reward=1', character 7: this cannot be read."),
        (["where=__import__('os')"], "is no condition. A condition has"),
        (["sort=question"], "error: sort='question': this is no number"),
        (["iteration=two"], "error: iteration must be a number, a range such as 10:20, 10: or :20, last or null"),
        (["limit=0"], "error: limit=0: limit must be a whole number of at least 1 or null"),
        (["limit=all"], "error: limit=all: limit must be a whole number of at least 1 or null"),
        (["max_text=x"], "error: max_text=x: max_text must be a whole number of at least 1 or null"),
        (["poll=0"], "error: poll=0: poll must be a number above 0"),
        (["follow=true", "sort=reward"], "leave sort= out"),
        (["run=nowhere"], "error: there is no run nowhere"),
    ],
)
def test_a_mistake_is_one_line_without_a_stack_trace(
    run: Path, script: Script, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert script("rollouts", *([] if "run=" in arguments[0] else [f"run={run}"]), *arguments) == 1
    told = capsys.readouterr().err
    assert complaint in told and "Traceback" not in told


def test_a_script_without_a_run_says_what_to_say(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    assert script("rollouts") == 1
    assert "error: say which run to read: run=runs/<name>" in capsys.readouterr().err


def test_following_a_finished_run_that_wrote_nothing_ends(
    tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("config.yaml", "summary.json"):
        (tmp_path / name).write_text("{}")
    assert script("rollouts", f"run={tmp_path}", "follow=true") == 0
    assert "no such rollout" in capsys.readouterr().out


def test_a_live_run_is_followed_until_ctrl_c(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "live"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("{}")
    script = str(repository / "scripts" / "rollouts.py")
    environment = os.environ | {"PYTHONPATH": str(repository / "src"), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, script, "run=live", "follow=true", "poll=0.05"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        for iteration in (1, 2):
            row = {"iteration": iteration, "uid": "u", "row": 0, "text": f"text {iteration}"}
            RowFile(folder / "rollouts.jsonl").append([row])
            assert any(f"text {iteration}" in line for line in iter(process.stdout.readline, ""))
        process.send_signal(signal.SIGINT)
        process.wait(20)
        assert process.returncode == 0 and not process.stderr.read()
