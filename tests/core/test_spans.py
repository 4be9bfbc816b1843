"""The only intersection over union of the repository, on plain and on odd spans."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kairos.core.spans import Span, best_iou, iou, recall, set_iou, union

times = st.floats(0, 100, allow_nan=False)
spans = st.tuples(times, times).map(lambda pair: Span(min(pair), max(pair)))
odd = [Span(5, 5), Span(6, 3), Span(math.nan, 4), Span(1, math.nan), Span(-math.inf, math.inf)]


def test_iou_of_known_spans():
    assert iou(Span(5.0, 11.6), Span(5.1, 10.2)) == pytest.approx(0.7727273)
    assert iou(Span(0, 100), Span(5.1, 10.2)) == pytest.approx(0.051)
    assert iou(Span(0, 5), Span(5, 10)) == 0.0
    assert iou(Span(0, 1), Span(0, 1)) == 1.0


@pytest.mark.parametrize("span", odd)
def test_odd_spans_score_zero_and_never_raise(span):
    for other in [Span(0, 10), Span(5, 5), span]:
        assert iou(span, other) == iou(other, span) == 0.0
        assert best_iou([span], [other]) == 0.0
        assert best_iou([span, span], [other]) == 0.0


@given(spans, spans)
def test_iou_is_symmetric_bounded_and_that_of_the_seconds_covered(a, b):
    assert 0.0 <= iou(a, b) == iou(b, a) <= 1.0
    assert set_iou([a], [b]) == pytest.approx(iou(a, b), abs=1e-9)


def test_one_stated_span_scores_the_best_annotated_one_and_a_list_scores_as_unions():
    annotated = [Span(0, 10), Span(20, 30)]
    assert best_iou([Span(20, 30)], annotated) == 1.0
    assert best_iou([Span(0, 10), Span(20, 25)], annotated) == pytest.approx(15 / 20)
    assert best_iou([Span(0, 6), Span(4, 10), Span(20, 30)], annotated) == 1.0
    assert best_iou([], annotated) == best_iou(annotated, []) == 0.0


def test_union_merges_what_touches_and_drops_what_has_no_length():
    assert union([Span(5, 6), Span(0, 2), Span(2, 3), Span(4, 4)]) == (Span(0, 3), Span(5, 6))


def test_recall_counts_its_threshold_in():
    assert recall([0.3, 0.5, 0.7], 0.5) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="undefined"):
        recall([], 0.5)
