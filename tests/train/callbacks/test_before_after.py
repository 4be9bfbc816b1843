"""`evaluate=both|after|none`: one switch for what is answered before the first iteration and after the last."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.running import assert_same_run, fit

from kairos.runs.folder import RunFolder

BRIEF = ["iterations=2", "callbacks.validation=null", "callbacks.checkpoint.every=1"]


def evaluated(name: str) -> set[str]:
    return {path.stem for path in Path("runs", name, "predictions").glob("*.jsonl")}


@pytest.mark.parametrize(("switch", "expected"), [("both", {"before", "after"}), ("after", {"after"}), ("none", set())])
def test_the_switch_says_what_is_evaluated(switch: str, expected: set[str], workplace: Path):
    fit(*BRIEF, "name=a", f"evaluate={switch}")
    assert evaluated("a") == expected


def test_without_the_switch_a_small_split_is_evaluated_and_of_a_larger_one_a_line_says_so(
    workplace: Path, capsys: pytest.CaptureFixture[str]
):
    fit(*BRIEF, "name=small", "evaluate=null")
    assert evaluated("small") == {"before", "after"} and "not evaluated" not in capsys.readouterr().err
    fit(*BRIEF, "name=first", "evaluate=null", "callbacks.evaluation.small=3", "callbacks.evaluation.count=3")
    assert evaluated("first") == {"before", "after"}, "so many were asked for"
    fit(*BRIEF, "name=large", "evaluate=null", "callbacks.evaluation.small=3")
    assert evaluated("large") == set()
    assert "val has more than 3 prompts; evaluate=both" in capsys.readouterr().err


def test_evaluating_changes_nothing_in_the_training(workplace: Path):
    for name, switch in (("with", "both"), ("without", "none")):
        fit(*BRIEF, f"name={name}", f"evaluate={switch}")
    assert_same_run(Path("runs/with"), Path("runs/without"))


def test_a_word_that_is_no_switch_is_refused_with_those_that_are():
    with pytest.raises(Exception, match=r"evaluate must be both, after, none or null .*, got 'before'"):
        fit(*BRIEF, "evaluate=before")


@pytest.mark.parametrize(
    ("before", "after", "switch"), [(True, True, "both"), (False, True, "after"), (False, False, "none")]
)
def test_a_run_of_the_two_older_switches_goes_on_as_it_was(before: bool, after: bool, switch: str, tmp_path: Path):
    run = RunFolder(tmp_path / "run")
    old = {"callbacks": {"evaluation": {"before": before, "after": after}}}
    run.begin(old, ["seed=1", "callbacks.evaluation.before=true", "experiment=quickstart"], "")
    assert run.overrides() == [f"evaluate={switch}", "seed=1", "experiment=quickstart"]
