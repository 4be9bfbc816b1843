"""benchmarks/tspo.py at test size: its ways give the same answers, and what is measured is kept."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest


def test_every_way_gives_the_same_answers_and_finished_lines_are_kept(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script, out = repository / "benchmarks" / "tspo.py", tmp_path / "tspo.json"
    monkeypatch.syspath_prepend(str(script.parent))
    monkeypatch.setattr("sys.argv", [str(script), "--tiny", "--device", "cpu", "--out", str(out)])
    runpy.run_path(str(script), run_name="__main__")
    result = json.loads(out.read_text(encoding="utf-8"))
    for model in ("llava_video_7b", "qwen2_5_vl_7b"):
        same = result["answers"][f"{model}, equal"]
        assert (same["first_token"], same["tokens"], same["letter"]) == (1, 1, 1) and same["distinct_answers"] > 1
        assert same["largest_difference_of_a_letters_probability"] < 1e-5
        for way, count in (("released", 1), ("batch", 1), ("batch", 2), ("letters", 2)):
            line = result["answers"][f"{model}, {way}, {count} prompts, 1 tokens"]
            assert line["seconds_per_prompt"] == line["seconds"] / count > 0
    assert result["agent"].keys() == {"50", "100", "200", "linear fit"}
    assert "x released" in capsys.readouterr().out
    runpy.run_path(str(script), run_name="__main__")
    again = json.loads(out.read_text(encoding="utf-8"))
    assert (again["answers"], again["agent"]) == (result["answers"], result["agent"])
