"""benchmarks/scaling.py at test size, two processes on the CPU: what it runs, keeps, compares and says."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from helpers.benchmark import benchmark


def test_two_processes_are_run_their_line_is_kept_and_their_weights_are_compared(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = repository / "benchmarks"
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(folder))

    def run(name: str, *options: str) -> dict[str, dict[str, object]]:
        command = [str(folder / f"{name}.py"), "--tiny", "--out", f"{name}.json", *options]
        monkeypatch.setattr("sys.argv", command)
        runpy.run_path(command[0], run_name="__main__")
        return json.loads(Path(f"{name}.json").read_text(encoding="utf-8"))

    cells = run("scaling", "--models", "qwen2_5_vl_3b", "--devices", "2", "--prompts", "1")["cells"]
    (cell,) = cells.values()
    assert isinstance(cell, dict) and len(cell["checksums"]) == 2 and cell["ranks_agree"] is True
    assert cell["iteration"]["time/iteration"] > 0
    said = capsys.readouterr().out
    assert "measured" in said and "1.00 of 2" in said and "equal" in said
    assert run("scaling", "--models", "qwen2_5_vl_3b", "--devices", "2", "--prompts", "1")["cells"] == cells


def test_what_is_not_there_is_predicted_and_marked(repository: Path, monkeypatch: pytest.MonkeyPatch):
    """7B, fully trained, fits no single H200; on four it does, and the plan says so."""
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    scaling = benchmark("scaling")
    cells = [scaling.Cell("qwen2_5_vl_7b", count, 4, tiny=False) for count in (1, 4)]
    plans = {cell.name: scaling.predicted(cell.overrides, cell.devices) for cell in cells}
    alone, four = plans.values()
    assert alone is not None and four is not None and not alone.fits and four.fits
    drawn = scaling.table(cells, {}, plans)
    assert list(drawn.columns[2].cells) == ["plan: does not fit", "plan"]


def test_the_rivals_shape_stands_beside_what_was_published_and_what_is_not_known(
    repository: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    rival = benchmark("rival")
    overrides = rival.overrides_of("tempsamp_timelens_4b", 2, 1, 1024, rival.SHAPE)
    plan = rival.predicted(overrides, 2)
    assert plan is not None and plan.fits and plan.seconds["roll-out"] > plan.seconds["learning"] > 0
    rows = [list(column.cells) for column in rival.table({"1024 tokens": {}}, {"1024 tokens": plan}, 1).columns]
    assert rows[1] == ["plan", "EasyVideoR1, published"] and rows[2][1] == "131.9"
    assert any("Not known of it" in sentence for sentence in rival.UNKNOWN)
