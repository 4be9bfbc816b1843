"""benchmarks/scaling.py and rival.py at test size, two processes on the CPU: what they run, keep, compare and say."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from helpers.benchmark import benchmark


def test_both_benchmarks_run_two_processes_keep_their_lines_and_compare_the_ranks(
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

    (line,) = run("rival", "--tokens", "4")["lines"].values()
    assert isinstance(line, dict) and line["iteration"]["rollout/length"] <= 4
    said = capsys.readouterr().out
    assert "EasyVideoR1, published" in said and "131.9" in said and "Not known of it" in said


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
