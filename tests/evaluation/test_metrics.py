"""Metrics against the same numbers by hand: every prompt counts, and thresholds are met by equality."""

from __future__ import annotations

import random

import pytest

from kairos.core.spans import Span, iou
from kairos.evaluation.metrics import MeanIoU, Recall, metrics, scores
from kairos.evaluation.predictions import Prediction, unanswered


def row(
    uid: str, value: float | None, correct: bool | None = None, reason: str | None = None, length: int = 4
) -> Prediction:
    spans = () if value is None else (Span(0.0, 1.0),)
    return Prediction(
        uid, "grounding" if correct is None else "choice", "test", "?", "", length, False, spans, None, reason, spans,
        None if correct is None else "A", 4, 10.0, value, correct,
    )  # fmt: skip


def test_scores_agree_with_brute_force():
    draw = random.Random(0)
    pairs = [[Span(s := draw.uniform(0, 9), s + draw.uniform(0.1, 5)) for _ in range(2)] for _ in range(200)]
    values = [iou(a, b) for a, b in pairs]
    found = scores([row(str(i), value) for i, value in enumerate(values)])
    assert found["miou"] == pytest.approx(sum(values) / 200)
    for m in (30, 50, 70):
        assert found[f"recall_{m}"] == sum(v >= m / 100 for v in values) / 200
    assert "accuracy" not in found


def test_a_recall_threshold_is_met_by_equality():
    recall = Recall(0.5)
    recall.update([row("a", 0.5), row("b", 0.4999999)])
    assert float(recall.compute()) == 0.5


def test_failed_and_unparsable_answers_pull_every_score_down():
    rows = [row("a", 1.0), row("b", 0.0, reason="no_pair_of_times"), unanswered("c", "failed: broken"), row("d", 1.0)]
    found = scores(rows)
    assert found["miou"] == 0.5 and found["recall_50"] == 0.5 and found["parse_failures"] == 0.5
    assert "accuracy" not in found, "a failed grounding prompt must not invent an accuracy"
    assert found["length"] == 4.0, "a prompt that was never answered has no length"


def test_only_what_was_asked_is_averaged():
    found = scores([row("a", None, True), row("b", None, False), row("c", 0.8)])
    assert found["accuracy"] == 0.5 and found["miou"] == 0.8


def test_scores_of_all_processes_ask_no_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torchmetrics.metric.jit_distributed_available", lambda: True)
    shared = MeanIoU()
    shared.update([row("a", 0.8)])
    with pytest.raises(ValueError, match="process group"):
        shared.compute()
    assert scores([row("a", 0.8)])["miou"] == 0.8


def test_updating_in_pieces_changes_nothing():
    rows = [row(str(i), i / 10, i % 3 == 0) for i in range(11)]
    whole, pieces = metrics(), metrics()
    whole.update(rows)
    for piece in (rows[:4], rows[4:5], rows[5:]):
        pieces.update(piece)
    assert {k: float(v) for k, v in whole.compute().items()} == {k: float(v) for k, v in pieces.compute().items()}


def test_a_threshold_outside_zero_and_one_is_refused():
    with pytest.raises(ValueError, match=r"threshold must lie in \(0, 1\], got 50"):
        Recall(50)


def test_a_metric_that_saw_nothing_is_not_a_number():
    metric = MeanIoU()
    metric.update([])
    assert metric.compute().isnan()
