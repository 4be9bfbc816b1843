"""The rates of the plan are those that results/ gives, and docs/plan.md says how far its predictions are off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.benchmark import benchmark

from kairos.policy.speed.amounts import KINDS, h200


def test_the_rates_and_the_table_of_their_errors_are_what_the_results_give(
    repository: Path, monkeypatch: pytest.MonkeyPatch
):
    """Where this fails, results/ or the formulas changed: `python benchmarks/plan_rates.py`, and quote its lines."""
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    plan_rates = benchmark("plan_rates")
    measured = plan_rates.cells()
    rates = plan_rates.fit([cell for cell in measured if cell.fitted])
    for kind in KINDS:
        assert getattr(h200(), kind) == pytest.approx(getattr(rates, kind), rel=0.01), kind
    lines = plan_rates.compared(measured)
    stored = json.loads((repository / "results" / "plan.json").read_text(encoding="utf-8"))["cells"]
    assert [(line["file"], line["name"], line["phase"]) for line in lines] == [
        (line["file"], line["name"], line["phase"]) for line in stored
    ]
    assert [line["ratio"] for line in lines] == pytest.approx([line["ratio"] for line in stored], abs=0.02)
    page = (repository / "docs" / "plan.md").read_text(encoding="utf-8")
    assert all(row in page for row in plan_rates.summary(stored))
    for file in {line["file"] for line in stored}:
        assert (repository / "results" / file).exists()
    whole = [line["ratio"] for line in lines if line["phase"] == "iteration"]
    assert len(whole) >= 10 and all(0.8 < ratio < 1.25 for ratio in whole)
