"""A sweep's jobs in one picture, seeds together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kairos.report.compare import compare, without_seed
from kairos.report.run import read_run


def job(folder: Path, reward: float, iterations: int = 20) -> Path:
    folder.mkdir(parents=True)
    rows = [{"iteration": i, "reward/total": reward + (i > 18)} for i in range(1, iterations + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_jobs_that_differ_in_their_seed_share_a_row(tmp_path):
    jobs = [
        job(tmp_path / f"seed={s},shape={name}", r + s)
        for name, r in (("identity", 0.25), ("log_exp", 4.0))
        for s in (0, 1)
    ]
    picture = compare(jobs, tmp_path / "curves.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    rows = (tmp_path / "curves.md").read_text().splitlines()[2:4]
    assert [row.split(" | ")[:2] for row in rows] == [["| shape=identity", "2"], ["| shape=log_exp", "2"]]
    assert "1.750 [" in rows[0] and "5.500 [" in rows[1], "the mean over both seeds at the end, not over the whole run"


def test_only_the_last_tenth_counts(tmp_path):
    run = read_run(job(tmp_path / "a", 0.0))
    assert run.metrics["reward/total"].last_tenth(run.iterations) == [1.0, 1.0]
    assert read_run(job(tmp_path / "b", 0.5, iterations=1)).metrics["reward/total"].last_tenth(1) == [0.5]


def test_a_seed_is_taken_out_of_a_name_wherever_it_stands():
    assert [without_seed(n) for n in ("lr=1,seed=3,x=a", "x=a,seed=3", "seed=3", "preseed=3,x=a")] == [
        "lr=1,x=a", "x=a", "all seeds", "preseed=3,x=a",
    ]  # fmt: skip


def test_runs_without_an_iteration_cannot_be_compared(tmp_path):
    with pytest.raises(ValueError, match="none of 1 runs has logged an iteration"):
        compare([tmp_path], tmp_path / "curves.png")
