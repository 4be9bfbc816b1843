"""The summary of predictions: per task with floors beside, and JSON throughout."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kairos.core.spans import Span
from kairos.evaluation.metrics import MeanIoU, ParseFailures, Share
from kairos.evaluation.predictions import Prediction, unanswered
from kairos.evaluation.score_table import floors, overall, score_table


def grounded(uid: str, span: Span | None, value: float, letter: str | None) -> Prediction:
    spans = () if span is None else (span,)
    reason = "no_pair_of_times" if span is None else None
    return Prediction(
        uid, "grounded_qa", "test", "?", "", 6, False, spans, letter, reason, (Span(2.0, 4.0),), "A", 4, 10.0, value,
        letter == "A",
    )  # fmt: skip


ROWS = [
    grounded("a", Span(2.0, 4.0), 1.0, "A"),
    grounded("b", Span(2.0, 3.0), 0.5, "B"),
    grounded("c", None, 0.0, "A"),
    unanswered("d", "failed: x.mp4 will not decode: truncated"),
]


def test_grounded_questions_have_both_scores_both_floors_and_every_failure():
    summary = json.loads(json.dumps(score_table(ROWS)))
    assert summary["n"] == 4 and list(summary["tasks"]) == ["grounded_qa"], "the failed prompt belongs to the only task"
    task = summary["tasks"]["grounded_qa"]
    assert task["n"] == 4 and task["failed"] == 1
    assert task["scores"]["miou"]["mean"] == pytest.approx(0.375)
    assert task["scores"]["accuracy"]["mean"] == 0.5
    assert task["scores"]["miou"]["low"] < 0.375 < task["scores"]["miou"]["high"]
    assert task["floors"]["chance"] == 0.25 and task["floors"]["miou_constant"] == pytest.approx(1.0)
    assert task["parse_failures"] == 0.5 and task["reasons"] == {"no_pair_of_times": 1, "failed": 1}


def test_categories_are_scored_apart_and_averaged():
    named = [replace(row, category=kind) for row, kind in zip(ROWS[:3], ("TN", "TN", "CW"), strict=True)]
    task = json.loads(json.dumps(score_table(named)))["tasks"]["grounded_qa"]
    assert {name: found["n"] for name, found in task["categories"].items()} == {"CW": 1, "TN": 2}
    assert task["categories"]["TN"]["accuracy"] == 0.5 and task["macro"]["accuracy"] == 0.75
    assert "categories" not in score_table(ROWS)["tasks"]["grounded_qa"]  # type: ignore[index, operator]


def test_scores_over_all_predictions_are_plain_numbers_beside_their_floors():
    found = overall(ROWS)
    assert found["miou"] == pytest.approx(0.375) and found["recall_50"] == 0.5 and found["n"] == 4
    assert found["accuracy"] == 0.5 and found["parse_failures"] == 0.5 and found["length"] == 6.0
    assert found["chance"] == 0.25 and found["miou_constant"] == pytest.approx(1.0)
    assert all(isinstance(value, int | float) for value in found.values())


def test_every_metric_of_which_more_is_better_has_the_floors_of_the_same_answers():
    class Half(Share):
        """Half of the recall at 0.5, and all of the accuracy."""

        def value(self, prediction: Prediction) -> float | None:
            if prediction.iou is None:
                return None if prediction.correct is None else float(prediction.correct)
            return 0.5 * (prediction.iou >= 0.5)

    found = floors(ROWS, {"half": Half(), "failures": ParseFailures(), "miou": MeanIoU()})
    assert found["constant"] == {"half": 0.5, "miou": pytest.approx(1.0)} and found["guess"] == {"half": 0.25}
    assert found["full"] == {"half": 0.0, "miou": pytest.approx(0.2)}


def test_nothing_cannot_be_summarised():
    with pytest.raises(ValueError, match="nothing to score: there are no predictions"):
        score_table([])
