"""Metrics of benchmarks on answers made by hand: what each counts, what leaves it out, and that failures are 0."""

from __future__ import annotations

import pytest
from helpers.predicting import mean, said

from kairos.compose import compose
from kairos.compose import metrics_of as built
from kairos.core.spans import Span
from kairos.evaluation.benchmarks.areas import OverlapAUC
from kairos.evaluation.benchmarks.average_precision import score_precision, window_precisions
from kairos.evaluation.benchmarks.grounded import GroundedAccuracy, IoP
from kairos.evaluation.benchmarks.highlights import HighlightAP, HitAtOne, MomentAP, MomentRecall
from kairos.evaluation.benchmarks.ranked import BestGuesses, RankedRecall
from kairos.evaluation.benchmarks.sets import PairedGIoU, SetGIoU, SetPrecision, SetRecall, SetTIoU
from kairos.evaluation.metrics import Share
from kairos.evaluation.scores import scored

CHOICE = {"target_choice": "A", "options": 4}
RATED = ((2.0, 4.0, 1.0), (4.0, 2.0, 2.0))


@pytest.mark.parametrize("option", ["sets", "qvhighlights", "vue_tr", "nextgqa", "ego4d_nlq"])
def test_every_metric_of_an_option_scores_an_answer_and_gives_0_for_a_failed_row(option: str):
    metrics = built(compose([f"metrics={option}"]))
    fields = {**CHOICE, "rated": RATED, "correct": True}
    good = said([[0, 8]], [[0, 8]], many=True, choice="A", saliency=(0.0, 1.0), **fields)
    failed = said([], [[0, 8]], reason="failed: x", **{**fields, "correct": False})
    (best,), (worst,) = scored([good], metrics), scored([failed], metrics)
    own = set(metrics) - {"length", "truncated", "parse_failures", "precision_auc_released"}
    left_out = {"map_middle", "map_long"}
    assert set(best.scores or {}) >= own - left_out
    for name in own & set(worst.scores or {}):
        assert (worst.scores or {})[name] <= (0.005 if name.endswith("_released") else 0.0), name
    labels = [metric.display(name).label for name, metric in metrics.items()]
    assert len(set(labels)) == len(labels), "no two columns have one heading"


def test_an_answer_of_several_spans_is_compared_as_a_set():
    row = said([[0, 10], [5, 15]], [[10, 20]], many=True)
    found = {type(metric).__name__: metric.value(row) for metric in (SetTIoU(), SetPrecision(), SetRecall(), SetGIoU())}
    assert found == pytest.approx({"SetTIoU": 0.25, "SetPrecision": 1 / 3, "SetRecall": 0.5, "SetGIoU": 0.25})
    assert PairedGIoU().value(said([[0, 10]], [[0, 10]])) == 1.0
    assert SetTIoU().value(said([[0, 1]])) is None, "nothing is asked"


def test_each_annotated_span_of_nextgqa_stands_alone_and_both_parts_must_be_right():
    row = said([[0, 4]], [[1, 2], [3, 9]], correct=True, choice="A", **CHOICE)
    assert IoP().value(row) == 0.25 and IoP(0.5).value(row) == 0.0
    inside = said([[4, 6]], [[1, 2], [3, 9]], correct=True, choice="A", **CHOICE)
    wrong = said([[4, 6]], [[1, 2], [3, 9]], correct=False, choice="B", **CHOICE)
    assert [GroundedAccuracy().value(each) for each in (row, inside, wrong)] == [0.0, 1.0, 0.0]
    assert GroundedAccuracy().value(said([[4, 6]], [[3, 9]])) is None, "no letter is asked for"


def test_guesses_count_in_their_order():
    row = said(annotated=[[0, 10]], ranked=((20.0, 30.0, 0.9), (0.0, 5.0, 0.1), (0.0, 10.0, 0.0)))
    assert [RankedRecall(0.5, first).value(row) for first in (1, 2)] == [0.0, 1.0]
    assert RankedRecall(0.5, 2).strictly().value(row) == 0.0
    assert BestGuesses(2).value(row) == 0.75 and BestGuesses(5).value(row) == 0.5
    assert MomentRecall(0.5).value(row) == 0.0, "the first window, not the best"


def test_average_precision_takes_each_annotated_window_once_and_sorts_after_the_cut():
    annotated = [Span(0, 10), Span(20, 30)]
    twice = [(0.0, 10.0, 0.9), (0.0, 10.0, 0.8), (20.0, 30.0, 0.7)]
    assert window_precisions(twice, annotated)[0] == pytest.approx((1 + 2 / 3) / 2)
    late = [*[(50.0, 60.0, 0.1)] * 10, (0.0, 10.0, 0.9)]
    assert window_precisions(late, annotated[:1])[0] == 0.0, "the eleventh window is cut, whatever its score"
    assert window_precisions(late, annotated[:1], most=11)[0] == 1.0
    assert window_precisions([], annotated) == [0.0] * 10


def test_windows_of_other_lengths_do_not_count():
    row = said([[0, 8]], [[0, 8], [20, 60]], many=True)
    assert MomentAP(length="short").value(row) == 1.0 and MomentAP(length="long").value(row) == 0.0
    assert MomentAP(length="middle").value(row) is None
    with pytest.raises(ValueError, match="length must be one of short, middle, long, full, got 'tiny'"):
        MomentAP(length="tiny")


def test_highlights_are_read_from_an_answer_too():
    text = "<answer>The highlight timestamps are in the 2, 4 seconds. Their saliency scores are 3.5, 1.0</answer>"
    row = said(text=text, rated=RATED, duration=10.0)
    assert HitAtOne().value(row) == 1.0 and HighlightAP().value(row) == 0.5, "one of two annotators saw any"
    assert HitAtOne().value(said(text="none", rated=RATED, duration=10.0)) == 0.0
    assert HitAtOne().value(said(rated=RATED, saliency=(0.0,) * 9 + (1.0,), duration=10.0)) == 0.0, "past the end"
    assert HitAtOne().value(said(text=text)) is None


def test_equal_scores_are_one_step_of_the_precision():
    assert score_precision([True, False, True, False], [1, 1, 0, 0]) == 0.5
    assert score_precision([False, False], [1, 0]) == 0.0 and score_precision([True, True], []) == 1.0
    assert score_precision([True, False], [0.1, 0.9, 5.0]) == 0.5, "scores past the last clip are cut"


def test_an_empty_answer_counts_in_precision_unless_the_published_convention_is_asked_for():
    rows = [said([], [[0, 10]], "a"), said([[0, 10]], [[0, 10]], "b")]
    assert mean(OverlapAUC("precision"), rows) == mean(OverlapAUC("recall"), rows) == 0.5
    assert mean(OverlapAUC("recall", released=True), rows) == pytest.approx(0.5025), "0 reaches the threshold 0"
    assert mean(OverlapAUC("precision", released=True), rows) == 1.0
    assert mean(OverlapAUC("iou"), rows) == pytest.approx(0.4975), "IoU must exceed the threshold 1"


@pytest.mark.parametrize(
    ("make", "said_of_it"),
    [
        (lambda: OverlapAUC("f1"), "of must be iou, precision or recall"),
        (lambda: RankedRecall(0.5, 0), "first must be >= 1"),
        (lambda: IoP(0.0), "threshold must lie in"),
        (lambda: HitAtOne("Superb"), "rating must be one of Fair, Good, VeryGood"),
        (lambda: MomentAP(0.52), "threshold must be one of"),
    ],
)
def test_a_wrong_option_of_a_metric_is_named(make: type[Share], said_of_it: str):
    with pytest.raises(ValueError, match=said_of_it):
        make()
