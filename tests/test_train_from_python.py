"""`compose.train` has the rules of the script: a finished run is left alone, a begun one goes on, another one stops."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.running import TOY, assert_same_run, rows

from kairos.compose import compose, part, train
from kairos.credit.shapes import LogExp
from kairos.runs.folder import RunError

RUN = [*TOY, "callbacks.validation=null", "callbacks.checkpoint.every=1", "prompts=2"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_run_has_its_files_and_is_not_run_twice():
    folder = train([*RUN, "iterations=2", "name=mine"])
    assert folder == Path("runs/mine")
    assert len(rows(folder / "metrics.jsonl")) == 2
    assert (folder / "summary.json").exists() and (folder / "report.html").exists()
    stamp = (folder / "metrics.jsonl").stat().st_mtime_ns
    assert train([*RUN, "iterations=2", "name=mine"]) == folder
    assert (folder / "metrics.jsonl").stat().st_mtime_ns == stamp


def test_a_killed_run_and_one_that_is_asked_for_more_go_on_as_if_never_stopped():
    whole = train([*RUN, "iterations=3"], Path("whole"))
    mine = train([*RUN, "iterations=1"], Path("part"))
    (mine / "summary.json").unlink()  # as if it had been killed after its checkpoint
    train([*RUN, "iterations=2"], mine)
    assert len(rows(mine / "metrics.jsonl")) == 2
    train([*RUN, "iterations=3"], mine)
    assert_same_run(whole, mine)


def test_a_finished_folder_of_another_method_is_refused_until_it_may_be_replaced():
    folder = train([*RUN, "iterations=1"], Path("mine"))
    with pytest.raises(RunError, match=r"shape\._target_: .*Identity.* -> .*LogExp"):
        train([*RUN, "iterations=1", "shape=log_exp"], folder)
    train([*RUN, "iterations=1", "shape=log_exp", "overwrite=true"], folder)
    assert "LogExp" in (folder / "config.yaml").read_text()


def test_a_part_is_built_from_its_node():
    assert part(compose(["shape=log_exp", "+shape.knee=0.5"]).shape) == LogExp(knee=0.5)
