"""A run that was begun when parts had other names goes on bit for bit; what has changed in earnest is still refused."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from helpers.running import TOY, assert_same_run
from helpers.scripting import Script

from kairos.compose import compose, resolved
from kairos.runs.folder import RunError, RunFolder
from kairos.runs.renamed import OPTIONS, RENAMED, new_name, new_override, with_new_names

SMALL = [*TOY, "iterations=2", "callbacks.checkpoint.every=1", "advantage=group_normalized_fine"]


def age(run: Path) -> int:
    """Rewrite a run's config.yaml as it would have been before the names changed; how many names are old now.

    Such a run has no seals.
    """
    for seal in run.rglob(".*.seal"):
        seal.unlink()
    text = (run / "config.yaml").read_text()
    count = 0
    for old, new in RENAMED.items():
        count += text.count(f"{new}.")
        text = text.replace(f"{new}.", f"{old}.")
    tree = yaml.safe_load(text)
    del tree["enrich"]
    for node in (tree, tree["module"]):
        del node["references"], node["objective"]["terms"]["kl"]["reference"]
        node["advantage"] = node["advantage"]["rule"]
    (run / "config.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    return count


def test_a_run_of_old_names_goes_on_bit_for_bit(script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    runs = tmp_path / "runs"
    assert script("train", *SMALL, "advantage.rule.epsilon=1e-3", "name=whole", "iterations=4") == 0
    assert script("train", *SMALL, "advantage.rule.epsilon=1e-3", "name=old") == 0
    assert age(runs / "old") > 2
    written = (runs / "old" / "overrides.yaml").read_text()
    (runs / "old" / "overrides.yaml").write_text(written.replace("advantage.rule.epsilon", "advantage.epsilon"))
    capfd.readouterr()
    assert script("train", "run=runs/old", "iterations=4") == 0, capfd.readouterr().err
    said = capfd.readouterr().out
    assert "runs/old was begun with older names, which are read as today's: kairos." in said
    assert_same_run(runs / "whole", runs / "old")
    assert script("train", "run=runs/old", "iterations=5") == 0
    assert "older names" not in capfd.readouterr().out, "they were written anew"


def test_an_old_run_is_evaluated_and_its_method_is_still_checked(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    run = tmp_path / "runs" / "old"
    assert script("train", *SMALL, "name=old") == 0
    age(run)
    assert script("evaluate", "run=runs/old", "count=2") == 0, capfd.readouterr().err
    assert "older names" in capfd.readouterr().out
    assert script("train", "run=runs/old", "iterations=3", "advantage=leave_one_out") == 1
    said = capfd.readouterr().err
    assert "advantage.rule._target_: 'kairos.credit.advantages.GroupNormalized'" in said and "enrich" not in said


def test_a_key_that_was_added_counts_where_its_value_is_not_the_default(tmp_path: Path):
    run = RunFolder(tmp_path / "run")
    run.begin({"seed": 0}, [], "")
    run.check({"seed": 0, "enrich": {}, "datamodule": {"train": {"enrich": {}}}})
    with pytest.raises(RunError, match=r"enrich.mine: None -> 1"):
        run.check({"seed": 0, "enrich": {"mine": 1}})
    run.begin({"seed": 0, "enrich": {}}, [], "")
    with pytest.raises(RunError, match=r"enrich: \{\} -> None"):
        run.check({"seed": 0})


def test_every_new_name_is_there_and_no_old_one_is():
    assert RENAMED
    for old in RENAMED:
        new = new_name(f"{old}.Part").removesuffix(".Part")
        module, _, member = new.rpartition(".")
        assert find_spec(new) if new[len(module) + 1].islower() else hasattr(importlib.import_module(module), member)
        assert new_name(f"{new}.Part") == f"{new}.Part", "a name of today is left as it is"


def test_an_override_of_an_old_run_is_read_by_todays_names_and_keys():
    rule = {"_target_": "kairos.credit.advantages.Anchored"}
    old: dict[str, object] = {"advantage": rule}
    assert new_override("+attn._target_=kairos.policy.varlen.Sdpa", {}).endswith("policy.network.attention.varlen.Sdpa")
    assert new_override("advantage.factor=2", old) == "advantage.rule.factor=2"
    assert new_override("advantage=leave_one_out", old) == "advantage=leave_one_out"
    new = with_new_names(old)
    assert isinstance(new, dict)
    assert new_override("advantage.rule.factor=2", new) == "advantage.rule.factor=2"
    inner: dict[str, object] = {"advantage": {"_target_": "kairos.credit.advantages.Downscaled", "advantage": rule}}
    assert new_override("advantage.scale=0.5", inner) == "advantage.scale=0.5"
    assert new_override("advantage.advantage.factor=2", inner) == "advantage.advantage.rule.factor=2"


@pytest.mark.parametrize("option", OPTIONS)
def test_a_run_of_an_option_that_is_no_file_any_more_goes_on_as_what_composes_the_same(option: str, tmp_path: Path):
    name, clips = option.removeprefix("experiment=").rsplit("_", 1)
    run = RunFolder(tmp_path / "run")
    begun = resolved(compose([f"experiment={name}", f"data.clips={clips}", "seed=3", "folder=x"]))
    run.begin(begun, ["seed=3", option, "folder=x"], "")
    assert run.overrides() == [f"experiment={name}", f"data.clips={clips}", "seed=3", "folder=x"]
    run.check(resolved(compose(run.overrides())))
    assert f"{option} is experiment={name} data.clips={clips}" in (run.outdated() or "")


def test_an_override_of_ones_own_still_wins_over_an_option_that_is_no_file_any_more(tmp_path: Path):
    run = RunFolder(tmp_path / "run")
    run.begin({}, ["data.clips=70", "experiment=mini/grpo_50"], "")
    assert compose(run.overrides()).data.clips == 70
