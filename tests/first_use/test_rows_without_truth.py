"""Rows that ask and say no answer are answered by evaluate, without a made-up score, and refused by train."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.scripting import Script, script  # noqa: F401 - a fixture

from kairos.data.mini.world import MiniWorld
from kairos.evaluation.predictions import read_file


def test_they_are_answered_without_a_score_and_training_says_what_they_lack(
    script: Script,  # noqa: F811
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
):
    clip = MiniWorld(str(tmp_path / "world"), "val", clips=1, tasks=["grounding"], workers=1).records()[0]
    asked = {"video": clip.video.path, "question": clip.question}
    rows = [
        asked, {**asked, "question": "the red star"}, {**asked, "spans": [[1.0, 3.0]]},
        {**asked, "task": "choice", "options": ["red", "blue"]},
    ]  # fmt: skip
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ["data=jsonl", "data.annotations=mine.jsonl"]
    assert script("evaluate", *data, "output=out/scores.json") == 0
    said = capfd.readouterr().out
    assert "3 (2 without truth)" in said and "1 (1 without truth)" in said
    found = read_file(tmp_path / "out/predictions/scores.default.jsonl")
    assert [row.labelled for row in found] == [False, False, True, False]
    assert [row.iou is None and "miou" not in (row.scores or {}) for row in found] == [True, True, False, True]
    assert found[3].correct is None and "accuracy" not in (found[3].scores or {})
    assert all(row.spans for row in found[:3]), "they are answered"
    tasks = json.loads((tmp_path / "out/scores.json").read_text())["default"]["tasks"]
    assert tasks["grounding"]["scores"]["miou"]["mean"] == found[2].iou and tasks["choice"]["scores"] == {}

    assert script("train", *data, "iterations=1") == 1
    error = capfd.readouterr().err
    assert "mine.jsonl, row 1: no `spans`" in error and "evaluate them (unlabelled=keep)" in error
