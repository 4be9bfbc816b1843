"""scripts/evaluate.py: shards and torn files end as one run does, scores have a manifest, answers may be in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.processes import run as run_process
from helpers.scripting import Script, script  # noqa: F401 - a fixture

from kairos.evaluation.manifest import NoManifest, read_scores
from kairos.evaluation.predictions import read_file

TOY = ["policy=toy", "data=toy", "template=answer", "trainer=cpu", "count=11", "size=2"]


def predictions(folder: Path) -> bytes:
    return (folder / "predictions" / "scores.default.jsonl").read_bytes()


@pytest.fixture
def whole(script: Script, tmp_path: Path) -> Path:  # noqa: F811
    """One evaluation, in `whole/`."""
    assert script("evaluate", *TOY, "output=whole/scores.json") == 0
    return tmp_path / "whole"


def test_shards_and_a_torn_file_end_with_the_file_of_one_run(
    script: Script,  # noqa: F811
    whole: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
):
    parts = tmp_path / "parts"
    shards = [*TOY, "output=parts/scores.json"]
    assert script("evaluate", *shards, "shard=3/4") == 0
    rows = parts / "predictions" / "scores.default.rows" / "3of4.jsonl"
    rows.write_bytes(rows.read_bytes()[:-40])  # as a process leaves it that is killed while it writes its last line
    for number in (1, 4, 2):
        assert script("evaluate", *shards, f"shard={number}/4") == 0
    assert "others are not: the last of them writes the scores" in capfd.readouterr().out
    assert script("evaluate", *shards, "frames.fps=1.0", "shard=3/4") == 1
    assert "unfinished evaluation of something else (fps: 2.0 then, 1.0 now" in capfd.readouterr().err
    assert not (parts / "scores.json").exists()
    assert script("evaluate", *shards, "shard=3/4") == 0
    assert predictions(parts) == predictions(whole)
    assert (parts / "scores.json").read_bytes() == (whole / "scores.json").read_bytes()
    assert not list((parts / "predictions").glob("*.rows"))


def test_two_processes_end_with_the_file_of_one_run(whole: Path, tmp_path: Path, repository: Path):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script_file = str(repository / "scripts" / "evaluate.py")
    done = run_process([*torchrun, script_file, *TOY, "output=two/scores.json"], tmp_path, repository)
    assert done.returncode == 0, done.stderr
    assert predictions(tmp_path / "two") == predictions(whole)
    assert done.stdout.count("manifest: val") == 1, "one process speaks"


def test_evaluations_that_differ_in_fps_say_so_and_no_score_is_shown_without_its_manifest(
    script: Script,  # noqa: F811
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
):
    assert script("evaluate", *TOY, "output=whole/scores.json") == 0
    said = capfd.readouterr().out
    assert "n 11, coverage 100.0% (failed 0, unparsed 9); floors: miou_constant 0.4" in said and "; fps 2.0;" in said
    assert script("evaluate", *TOY, "frames.fps=1.0", "output=slow/scores.json") == 0
    capfd.readouterr()
    assert script("compare", "runs=[whole,slow]", "difference=0.02") == 0
    said = capfd.readouterr().out
    assert "the evaluations differ in fps:\n  fps: 2.0 -> 1.0\n" in said
    assert said.count("manifest: val") == 2 and "paired test, by video" in said
    assert "rows needed" in said and "(here: 11)" in said
    assert script("compare", "runs=[whole,whole]") == 0
    assert "differ in their answers alone" in capfd.readouterr().out

    changed = json.loads((tmp_path / "whole" / "scores.json").read_text())
    changed["default"]["tasks"]["grounding"]["scores"]["miou"]["mean"] = 0.9
    (tmp_path / "slow" / "scores.json").write_text(json.dumps(changed))
    with pytest.raises(NoManifest, match="belongs to other scores"):
        read_scores(tmp_path / "slow")
    (tmp_path / "slow" / "scores.manifest.json").unlink()
    assert script("compare", "runs=[slow]") == 1
    assert "has no manifest (scores.manifest.json)" in capfd.readouterr().err


def test_without_output_an_evaluation_of_weights_says_where_it_is(
    script: Script,  # noqa: F811
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
):
    assert script("evaluate", *TOY, "templates=[answer,think]", "export=[kairos]") == 1, "toy data have no such records"
    assert "export=kairos needs annotations with records" in capfd.readouterr().err
    assert script("evaluate", *TOY, "templates=[answer,think]") == 0
    said = capfd.readouterr().out.replace("\n", "")
    (scores,) = tmp_path.glob("runs/evaluation/*/scores.json")
    assert f"written: {scores.relative_to(tmp_path)}" in said
    assert [each.label for each in read_scores(scores)] == ["answer", "think"]
    rows = read_file(scores.parent / "predictions" / "scores.think.jsonl")
    assert len(rows) == 11
