"""A run's page is drawn whatever the run holds; if it cannot be, the run is complete all the same."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.running import TOY
from matplotlib.figure import Figure

from kairos.compose import train
from kairos.core.spans import Span
from kairos.evaluation.predictions import Prediction, unanswered, write
from kairos.report.run_page.page import try_report, write_report
from kairos.report.style import panel, save, title

ODD = [r"$\frac{1}{", "$$", r"a_$b$", "half of \ud83d", "\x00 and \x1b[31m", "<script>", "x" * 5000, r"\$5 or $6"]


def prediction(uid: str, duration: float = 10.0, span: tuple[float, float] = (1.0, 2.0)) -> Prediction:
    empty = unanswered(uid, "missing")
    return replace(
        empty, task="grounding", question=f"when {uid}", reason=None, text="1 to 2", spans=(Span(*span),),
        target_spans=(Span(1.0, 3.0),), duration=duration, iou=0.5, options=0, correct=None,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    return tmp_path / "a"


def log(run: Path, rows: list[dict[str, object]]) -> None:
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_metrics_of_any_name_and_size_are_drawn(run: Path):
    values = (0.0, 1.0, -1e308, 1e308, 1e-320, math.nan, math.inf)
    log(run, [{"iteration": i, **dict.fromkeys([*ODD, *(f"reward/{name}" for name in ODD)], v)}
              for i, v in enumerate(values, start=1)])  # fmt: skip
    assert r"half of \ud83d" not in write_report(run).read_text(encoding="utf-8")  # it stands in a picture


def test_questions_and_answers_of_any_text_are_shown(run: Path):
    (run / "predictions").mkdir()
    rows = [replace(prediction(str(n)), question=text, text=text, task=text) for n, text in enumerate(ODD)]
    for name in ("before", "after"):
        write(rows, run / "predictions" / f"{name}.jsonl")
    (run / "rollouts.jsonl").write_text("".join(
        json.dumps({"iteration": 1, "uid": "u", "question": text, "text": text, "reward": 0.0}) + "\n" for text in ODD
    ))  # fmt: skip
    page = write_report(run).read_text(encoding="utf-8")
    assert r"half of \ud83d" in page and "<script>" not in page.partition("<body")[2]


@pytest.mark.parametrize("duration", [math.inf, math.nan, 0.0, -1.0, 1e300])
def test_a_clip_of_any_duration_is_drawn_or_left_out(run: Path, duration: float):
    (run / "predictions").mkdir()
    odd = [prediction("a", duration), prediction("b", 10.0, (math.nan, math.inf)), prediction("c")]
    write(odd, run / "predictions" / "after.jsonl")
    write_report(run)
    assert (run / "figures" / "timeline.png").is_file()


def test_a_figures_texts_are_shown_as_written(tmp_path: Path):
    figure = Figure()
    (axis,) = panel(figure, 1, 1)
    axis.plot([0, 1], [0, 1], label=ODD[0])
    axis.set_yticks([0, 1], ODD[:2])
    axis.legend()
    title(axis, ODD[3])
    assert save(figure, tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_whose_page_cannot_be_written_is_finished_and_says_how_to_write_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    (tmp_path / "a" / "report.html").mkdir(parents=True)  # nothing can be written there
    folder = train([*TOY, "iterations=1", "callbacks.validation=null"], tmp_path / "a")
    said = capfd.readouterr().err
    assert "NO REPORT" in said and "report.html cannot be written" in said
    assert f"python scripts/report.py \"runs=['{folder}']\"" in said
    assert json.loads((folder / "summary.json").read_text())["iterations"] == 1
    (folder / "report.html").rmdir()
    assert try_report(folder) == folder / "report.html"
