"""Probes: further sets of questions, asked after training and told apart from validation."""

from __future__ import annotations

import json

import pytest
from helpers.running import build, fit

from kairos.evaluation.predictions import read_file
from kairos.runs.read import read_run
from kairos.runs.summary import summary_of

PROBE = "{_target_: kairos.train.callbacks.evaluation.Probes, folder: runs/a/predictions, size: 3, max_actions: 1}"


def test_a_probe_is_answered_after_training_and_summarised():
    run = fit("name=a", "iterations=1", f"+callbacks.probes={PROBE}", "+probes.short=${data.val}")
    answers = read_file(run.folder / "predictions" / "short" / "after.jsonl")
    assert len(answers) == len(run.datamodule.dataset("short")) and {row.length for row in answers} == {1}  # type: ignore[arg-type]
    summary = summary_of(run.folder, seed=0, iterations=1)
    assert summary["probes"]["short"]["n"] == len(answers) and "n_val" not in summary  # type: ignore[index]
    json.dumps(summary)
    assert list(read_run(run.folder).probes) == ["short"] and not read_run(run.folder).after


def test_a_probe_has_a_name_of_its_own():
    with pytest.raises(Exception, match="probes may not be called val"):
        build(["policy=toy", "data=toy", "+probes.val=${data.val}"])
    with pytest.raises(ValueError, match="there is no split other; there are train, val"):
        build(["policy=toy", "data=toy"]).datamodule.dataset("other")
