"""scripts/align.py: published numbers beside ours, empty where nobody evaluated, never without a manifest."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.scripting import Script, script  # noqa: F401 - a fixture

from kairos.core.spans import Span
from kairos.evaluation.manifest import ScoredRows, manifest_of, manifest_path, write_scores
from kairos.evaluation.predictions import Prediction
from kairos.evaluation.score_table import score_table

MODEL = "model=Qwen/Qwen2.5-VL-3B-Instruct"


def test_our_numbers_stand_beside_published_ones(
    script: Script,  # noqa: F811
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
):
    span = (Span(0.0, 1.0),)
    rows = [
        Prediction(f"u{i}", "grounding", "t", "?", "", 4, False, span, None, None, span, None, 0, 10.0, iou, None)
        for i, iou in enumerate([0.388, 0.390])
    ]
    table = score_table(rows)
    path = tmp_path / "runs" / "alignment" / "Qwen2.5-VL-3B-Instruct" / "charades" / "scores.json"
    write_scores(path, [ScoredRows("default", table, manifest_of(rows, table, "val", {"fps": 2.0}))])
    assert script("align", MODEL, "tokens=false") == 0
    said = capfd.readouterr().out
    assert "38.8" in said and "38.90" in said and "+0.3 %: aligned" in said and "charades: manifest: val" in said
    assert "not run: kairos evaluate policy=qwen2_5_vl_3b" in said and "data=lvbench " in said
    assert "charades" not in said.partition("not run:")[2]
    manifest_path(path).unlink()
    assert script("align", MODEL, "tokens=false") == 1
    assert "has no manifest (scores.manifest.json)" in capfd.readouterr().err
    assert script("align", "model=Qwen/Qwen2.5-VL-3B", "tokens=false") == 1
    assert "no published numbers; did you mean Qwen/Qwen2.5-VL-3B-Instruct" in capfd.readouterr().err
