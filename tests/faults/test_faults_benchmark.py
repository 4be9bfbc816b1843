"""benchmarks/faults.py at test size: a few faults are survived or named, and what is lost is noticed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.running import fit

from kairos.core.seals import seal_path

KINDS = ["flipped: checkpoint", "truncated: a stored clip"]


@pytest.fixture
def toy_runs(repository: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(repository / "benchmarks")
    from fault_kinds import toy_runs

    return toy_runs


def test_a_few_faults_lose_nothing_and_the_same_command_tries_none_again(repository: Path, tmp_path: Path):
    command = [
        sys.executable, str(repository / "benchmarks" / "faults.py"), "--quick", "--kinds", *KINDS, "--work", "work",
        "--out", "faults.json",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads((tmp_path / "faults.json").read_text())
    assert [row["kind"].startswith(name) for row, name in zip(found["kinds"], KINDS, strict=True)] == [True, True]
    for row in found["kinds"]:
        assert row["tried"] == row["survived"] + row["named"] == 2 and row["lost"] == 0
    records = {path: path.read_text() for path in (tmp_path / "work").glob("*/*.jsonl")}
    assert len(records) == 2 and all(text.count("\n") == 2 for text in records.values())


def changed_weight(run: Path) -> None:
    path = max((run / "checkpoints").glob("*.ckpt"))
    state = torch.load(path, weights_only=True)
    next(iter(state["state_dict"].values())).view(-1)[0] += 1e-6
    torch.save(state, path)
    seal_path(path).unlink()


def changed_moment(run: Path) -> None:
    path = max((run / "checkpoints").glob("*.ckpt"))
    state = torch.load(path, weights_only=True)
    state["optimizer_states"][0]["state"][0]["exp_avg"].view(-1)[0] += 1e-6
    torch.save(state, path)
    seal_path(path).unlink()


def changed_row(run: Path) -> None:
    rows = (run / "rollouts.jsonl").read_text()
    (run / "rollouts.jsonl").write_text(rows.replace('"row": 1', '"row": 2', 1))


def changed_metric(run: Path) -> None:
    rows = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(rows[1:]))


def no_summary(run: Path) -> None:
    (run / "summary.json").unlink()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (changed_weight, "state_dict/policy"),
        (changed_moment, "exp_avg"),
        (changed_row, "rollouts.jsonl"),
        (changed_metric, "metrics.jsonl"),
        (no_summary, "did not end"),
    ],
)
def test_what_differs_from_the_unbroken_run_is_noticed(
    change: Callable[[Path], None], says: str, toy_runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    whole = fit("name=whole", "iterations=2", "callbacks.checkpoint.every=1", "sampling.group_size=2").folder
    (whole / "summary.json").write_text("{}")
    other = tmp_path / "other"
    shutil.copytree(whole, other)
    assert toy_runs.difference(whole, other) is None
    change(other)
    assert says in str(toy_runs.difference(whole, other))
