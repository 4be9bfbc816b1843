"""The miniature tables: every row composes and builds, and the driver trains, resumes, packs and tabulates."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
import yaml

from kairos.compose import CONF, assemble, compose, resolved
from kairos.report.published.definition import read_definition

ROWS = sorted(path.stem for path in (Path(CONF) / "experiment" / "mini").glob("*.yaml"))
DEFINITIONS = sorted((Path(CONF) / "table" / "mini").glob("*.yaml"))
TOY = ["policy=toy", "data=toy", "probes=none", "trainer=cpu", "iterations=2", "prompts=4", "callbacks.progress=null"]


def configs(runs: Path) -> list[dict[str, object]]:
    return [yaml.safe_load(path.read_text()) for path in sorted(runs.glob("*/config.yaml"))]


@pytest.mark.parametrize("row", ROWS)
def test_every_row_composes_and_builds(row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    overrides = [f"experiment=mini/{row}", "trainer.accelerator=cpu"]
    config = compose(overrides)
    built = assemble(config, overrides)
    flat = resolved(config)
    if row.startswith("tspo"):
        assert built.datamodule.probes == ("needles", "whole") and flat["sampling"]["max_actions"] == 8  # type: ignore[index]
    else:
        assert built.datamodule.probes == ("answer", "think", "ood", "ood_short", "others")
        assert flat["sampling"]["max_actions"] == (64 if row == "grpo_think" else 16)  # type: ignore[index]
        assert flat["iterations"] == (1 if row == "base" else 40)
    assert flat["prompts"] == 16
    assert not list(tmp_path.iterdir()), "building writes nothing"


def test_the_tables_use_every_row_and_name_no_other():
    used = {row.experiment for path in DEFINITIONS for row in read_definition(path).rows.values()}
    assert [path.stem[0] for path in DEFINITIONS] == list("abcdefghiiii")
    assert used == {f"mini/{row}" for row in ROWS if row != "budget"}


def test_rows_that_differ_in_overrides_alone_compose():
    for path in DEFINITIONS:
        for row in read_definition(path).rows.values():
            if row.overrides:
                compose([f"experiment={row.experiment}", *row.overrides])
            if row.arm is not None:
                arms = compose([f"experiment={row.experiment}", *row.overrides]).callbacks.frame_arms
                assert row.arm in {*arms.untrained, *arms.trained}, (path.stem, row)


def test_annotations_are_compared_on_one_scale_of_rewards():
    (table,) = [read_definition(path) for path in DEFINITIONS if path.stem == "b_injection"]
    for row in table.rows.values():
        terms = compose([f"experiment={row.experiment}", *row.overrides]).reward.terms
        assert (terms.iou.weight, terms.format.weight) == (1.0, 0.1), row


def test_selected_prompts_are_as_many_whatever_the_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"uid": f"u{i}", "task": "grounding", "source": "mini", "rewards": [1.0] * 4, "duration": 16.0, "length": 2.0,
         "terms": {"iou": [0.1, 0.2, 0.3 + 0.6 * (i % 4 > 0), 0.4]}}
        for i in range(500)
    ]  # fmt: skip
    (tmp_path / "runs/mini/measured").mkdir(parents=True)
    (tmp_path / "runs/mini/measured/rewards.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    chosen = {}
    for rule in ("random", "variance", "gaussian"):
        for seed in (0, 1):
            overrides = [f"experiment=mini/select_{rule}", "trainer.accelerator=cpu", f"seed={seed}"]
            subset = assemble(compose(overrides), overrides).datamodule.order.subset
            assert subset is not None
            chosen[rule, seed] = subset.selection([]).uids
    assert {len(uids) for uids in chosen.values()} == {320}
    assert all(int(uid[1:]) % 4 for uid in chosen["variance", 0]), "of a fourth no rollout is good"
    assert chosen["random", 0] != chosen["random", 1] and chosen["gaussian", 0] != chosen["gaussian", 1]


def test_the_driver_trains_what_is_missing_and_goes_on_from_packs(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    table = {
        "title": "Toy", "baseline": "GRPO",
        "rows": {"GRPO": "mini/grpo", "Clipped": {"experiment": "mini/grpo", "overrides": ["clip_norm=0.5"]}},
        "scores": {"training, last tenth": ["reward/total"]},
    }  # fmt: skip
    (tmp_path / "definitions").mkdir()
    (tmp_path / "definitions" / "x_toy.yaml").write_text(yaml.safe_dump(table))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs" / "mini").mkdir(parents=True)
    (tmp_path / "runs" / "mini" / "prepared").touch()
    monkeypatch.setenv("PYTHONPATH", str(repository / "src"))
    script = str(repository / "benchmarks" / "mini.py")
    command = [script, "--definitions", str(tmp_path / "definitions"), "--tables", "x", "--seeds", "0", "--jobs", "1"]

    def drive(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [*command, *arguments, "--set", *TOY])
        runpy.run_path(script, run_name="__main__")
        return capfd.readouterr().out

    monkeypatch.chdir(tmp_path)
    said = drive()
    assert "x_toy: none of its runs has finished" in said and "2 runs are left" in said
    said = drive("--minutes", "4.5", "--out", "packs")
    assert "every run has finished" in said and "| GRPO | 1 | " in said
    assert "- Clipped: `experiment=mini/grpo clip_norm=0.5`." in said and "| Clipped | 1 | " in said
    assert [config["clip_norm"] for config in configs(tmp_path / "runs" / "mini")] == [0.5, 1.0]
    assert {path.name for path in (tmp_path / "packs").iterdir()} == {"runs-1.tar.gz", "results.tar.gz"}
    monkeypatch.chdir(tmp_path / "elsewhere")
    said = drive("--minutes", "4.5", "--state", "../packs")
    assert "every run has finished" in said and "$ python" not in said, "nothing is trained again"
    results = [tmp_path / place / "results" / "mini" / "x_toy.json" for place in (".", "elsewhere")]
    assert json.loads(results[0].read_text())["rows"] == json.loads(results[1].read_text())["rows"]


@pytest.mark.parametrize("frames", [4, 8, 16])
def test_the_committed_agents_find_needles_better_than_uniform_and_untrained_choice(frames: int, repository: Path):
    rows = json.loads((repository / "results" / "mini" / "i_frames.json").read_text(encoding="utf-8"))["rows"]
    task = f"needle (needles, {frames} frames)"
    found = {row["row"]: row for row in rows if row["task"] == task and row["score"] == "accuracy"}
    assert found["agent"]["n"] == 10
    for untrained in ("uniform", "untrained top-k", "AKS"):
        assert found["agent"]["low"] > found[untrained]["high"], untrained
    against = json.loads((repository / "results" / "mini" / "i_untrained.json").read_text(encoding="utf-8"))["rows"]
    (row,) = [r for r in against if (r["row"], r["task"], r["score"]) == ("agent, bin-max", task, "accuracy")]
    assert row["difference"]["low"] > 0, "the agent's bin-max is better than bin-max without training"
