"""A metric of a user's own, a class and a yaml, reaches logs, summary, page and comparison; these read files only."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from helpers.running import TOY, curve

from kairos.compose import train
from kairos.core.seals import seal_path
from kairos.evaluation.predictions import read_file
from kairos.report.comparison.page import write_comparison
from kairos.report.run_page.page import write_report
from kairos.runs.displays import DISPLAYS, read_displays
from kairos.runs.summary import summary_of

METRIC = '''
from kairos.evaluation.metrics import Share


class Late(Share):
    """Seconds by which an answered span begins after the annotated one; 0 where nothing was answered."""

    label = "begins late"
    unit = "seconds"
    digits = 2
    higher_is_better = False
    plot_upper_bound = None

    def value(self, prediction):
        if not prediction.target_spans:
            return None
        if not prediction.spans:
            return 0.0
        return max(0.0, prediction.spans[0].start - prediction.target_spans[0].start)
'''
CHOSEN = """defaults: [default, _self_]
late: {_target_: late_answers.Late}
recall_60: {_target_: kairos.evaluation.metrics.Recall, threshold: 0.6, shown: headline}
"""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two finished seeds, and the user's code out of reach again."""
    (tmp_path / "conf" / "metrics").mkdir(parents=True)
    (tmp_path / "conf" / "metrics" / "mine.yaml").write_text(CHOSEN)
    (tmp_path / "late_answers.py").write_text(METRIC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    evaluated = ["evaluate=both", "callbacks.validation.every=1"]
    overrides = [*TOY, "metrics=mine", "iterations=2", "callbacks.export=null", *evaluated]
    folders = [train([*overrides, f"seed={seed}"], tmp_path / f"seed{seed}", str(tmp_path / "conf")) for seed in (0, 1)]
    (tmp_path / "late_answers.py").write_text("raise SystemExit('a folder is read without the code of its metrics')")
    sys.modules.pop("late_answers")
    return folders


def test_a_metric_of_a_users_own_is_shown_wherever_scores_are(runs: list[Path]):
    for run in runs:
        after = read_file(run / "predictions" / "after.jsonl")
        late = [row.scores["late"] for row in after if row.scores is not None and "late" in row.scores]
        assert late and len(late) == len([row for row in after if row.target_spans])
        assert curve(run, "val/late") and curve(run, "val/recall_60") and curve(run, "val/miou")
        summary = json.loads((run / "summary.json").read_text())
        assert summary["late_after"] == pytest.approx(sum(late) / len(late)) and "late_before" in summary
        assert "miou_after" in summary and "truncated_after" not in summary, "which is for logs only"
        page = (run / "report.html").read_text()
        assert "begins late, seconds" in page and "R1@0.6" in page
    page = write_comparison(runs, runs[0].parent / "both").read_text()
    table = (runs[0].parent / "both" / "report.md").read_text()
    assert "begins late" in page and "begins late" in table and "val R1@0.6" in table
    assert "| 2 |" in table, "seeds of one configuration share a row"


def test_a_finished_folder_is_read_without_the_code_of_its_metrics(runs: list[Path]):
    run = runs[0]
    before = (run / "report.html").read_text()
    summary = json.loads((run / "summary.json").read_text())
    assert write_report(run).read_text().count("begins late") == before.count("begins late") > 0
    again = summary_of(run, seed=0, iterations=2)
    assert {name: value for name, value in summary.items() if name != "seconds"} == again
    assert read_displays(run)["late"].unit == "seconds"
    seal_path(run / DISPLAYS).unlink()
    (run / DISPLAYS).write_text('{"late": {"label": "x"}}')
    with pytest.raises(ValueError, match=r"displays\.json is not a file of displays: each metric must have the fields"):
        read_displays(run)
    (run / DISPLAYS).unlink()
    assert "late" not in summary_of(run, seed=0, iterations=2), "a folder that does not say holds the standard metrics"
    assert write_report(run)


def test_a_part_that_is_no_metric_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"metrics\.mine must be a kairos\.evaluation\.metrics\.Share, got LogExp"):
        train([*TOY, "iterations=1", "+metrics.mine={_target_: kairos.credit.shapes.LogExp}"], tmp_path / "run")
