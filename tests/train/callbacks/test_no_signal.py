"""An iteration that taught nothing says so, with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.running import TINY, fit

from kairos.train.callbacks.no_signal import explanation

WORDS = [*TINY, "data=mini", "data.clips=2", "data.val_clips=1", "prompts=2", "sampling.max_actions=4",
         "callbacks.validation=null", "callbacks.export=null", "callbacks.checkpoint=null"]  # fmt: skip


def test_answers_that_nobody_can_read_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    fit(*WORDS, "name=a", "iterations=3")
    (said,) = [line for line in capfd.readouterr().err.splitlines() if "nothing to learn" in line]
    assert said.startswith("iteration 1: nothing to learn: every reward was 0 (100% of the answers could not be read: ")
    assert "100% were cut off: raise sampling.max_actions" in said and "template=..." in said


def test_the_reasons_are_those_of_the_iteration():
    same = explanation({"reward/total": 1.0, "parse/failures": 0.0, "rollout/truncated": 0.0})
    assert same.startswith("nothing to learn: in no group did the rewards differ (mean reward 1) (the prompts are all")
    mixed = {
        "reward/total": 0.0,
        "parse/failures": 0.6,
        "parse/empty_span": 0.0,
        "parse/no_pair": 0.4,
        "parse/reversed": 0.2,
    }
    assert "60% of the answers could not be read: no pair 40%, reversed 20%;" in explanation(mixed)
