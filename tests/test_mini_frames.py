"""There is something to learn: the shipped answerer is right when it is shown the event, and guesses when it is not."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest


def test_the_mini_answerer_needs_the_frames_of_the_event(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script, output = repository / "benchmarks" / "mini_frames.py", tmp_path / "frames.json"
    chosen = ["--answerers", "mini_answerer", "--clips", "24", "--frames", "8", "--data", "mini_needles"]
    arms = ["--arms", "with the event", "without the event", "uniform"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(script.parent))
    monkeypatch.setattr("sys.argv", [str(script), *chosen, *arms, "--output", str(output)])
    runpy.run_path(str(script), run_name="__main__")
    result = json.loads(output.read_text(encoding="utf-8"))["mini_needles"]
    assert result["prompts"] == 48 and result["candidates"] >= 128
    accuracy = {arm: found["mean"] for arm, found in result["accuracy"]["mini_answerer"].items()}
    assert accuracy.keys() == {"with the event, K = 8", "without the event, K = 8", "uniform, K = 8"}
    assert accuracy["with the event, K = 8"] >= 0.85
    assert accuracy["without the event, K = 8"] < 0.5 and accuracy["uniform, K = 8"] < 0.65
    assert "48 questions" in capsys.readouterr().out
