"""Metrics against the same numbers by hand: every prompt counts, and thresholds are met by equality."""

from __future__ import annotations

import random

import pytest

from kairos.compose import compose, metrics_of
from kairos.core.spans import Span, iou
from kairos.evaluation.metrics import MeanIoU, Recall, Share, displays, standard
from kairos.evaluation.predictions import Prediction, read_file, unanswered, write
from kairos.evaluation.scores import means, scored, scores_of


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
    found = means([row(str(i), value) for i, value in enumerate(values)])
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
    found = means(rows)
    assert found["miou"] == 0.5 and found["recall_50"] == 0.5 and found["parse_failures"] == 0.5
    assert "accuracy" not in found, "a failed grounding prompt must not invent an accuracy"
    assert found["length"] == 4.0, "a prompt that was never answered has no length"


def test_only_what_was_asked_is_averaged():
    found = means([row("a", None, True), row("b", None, False), row("c", 0.8)])
    assert found["accuracy"] == 0.5 and found["miou"] == 0.8


def test_scores_of_all_processes_ask_no_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torchmetrics.metric.jit_distributed_available", lambda: True)
    shared, gathered = MeanIoU(sync_on_compute=True), MeanIoU()
    for metric in (shared, gathered):
        metric.update([row("a", 0.8)])
    with pytest.raises(ValueError, match="process group"):
        shared.compute()
    assert float(gathered.compute()) == means([row("a", 0.8)])["miou"] == 0.8


def test_updating_in_pieces_gives_the_means_of_the_whole():
    rows = [row(str(i), i / 10, i % 3 == 0) for i in range(11)]
    whole = means(rows)
    assert whole.keys() == standard().keys()
    for name, metric in standard().items():
        metric.reset()
        for piece in (rows[:4], rows[4:5], rows[5:]):
            metric.update(piece)
        assert float(metric.compute()) == whole[name], name


class Early(Share):
    """Whether the answer begins before the annotated span."""

    label = "begins early"
    higher_is_better = None

    def value(self, prediction: Prediction) -> float | None:
        if not prediction.target_spans:
            return None
        return float(bool(prediction.spans) and prediction.spans[0].start < prediction.target_spans[0].start)


def test_what_a_row_was_scored_by_is_what_it_says(tmp_path):
    rows = scored([row("a", 0.4), row("b", None, True)], {"early": Early()})
    write(rows, tmp_path / "rows.jsonl")
    assert [scores_of(each) for each in read_file(tmp_path / "rows.jsonl")] == [{"early": 0.0}, {}]
    assert means(rows) == {"early": 0.0}, "no standard metric, as it was not asked for"


def test_rows_from_before_scores_were_written_get_the_standard_ones(tmp_path):
    write([row("a", 0.4)], tmp_path / "today.jsonl")
    line = (tmp_path / "today.jsonl").read_text().replace(', "scores": null', "")
    assert "scores" not in line
    path = tmp_path / "rows.jsonl"
    path.write_text(line)
    assert means(read_file(path))["miou"] == 0.4


@pytest.mark.parametrize("said", ["0.5", float("nan"), float("inf")])
def test_a_metric_that_gives_no_number_is_named(said: object):
    class Wrong(Share):
        def value(self, prediction: Prediction) -> float | None:
            return said  # type: ignore[return-value]

    with pytest.raises(ValueError, match=r"metrics\.mine: Wrong\.value must give a finite number or None, got .* 'a'"):
        scored([row("a", 0.4)], {"mine": Wrong()})


def test_the_configured_metrics_are_the_standard_ones():
    configured = metrics_of(compose(["data=toy", "policy=toy"]))
    assert displays(configured) == displays(standard()) and list(configured) == list(standard())
    rows = [row("a", 0.6), row("b", None, True), row("c", 0.0, reason="no_pair_of_times")]
    assert means(scored(rows, configured)) == means(rows)


def test_a_threshold_outside_zero_and_one_is_refused():
    with pytest.raises(ValueError, match=r"threshold must lie in \(0, 1\], got 50"):
        Recall(50)


def test_a_metric_that_saw_nothing_is_not_a_number():
    metric = MeanIoU()
    metric.update([])
    assert metric.compute().isnan()
