"""The only intersection over union of the repository, on plain and on odd spans."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kairos.core.spans import (
    Span,
    alternatives,
    answer_iou,
    iou,
    ious,
    recall,
    set_iou,
    set_ious,
    to_write,
    union,
)

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
        assert answer_iou([span], [other], many=False) == 0.0
        assert answer_iou([span, span], [other], many=True) == 0.0


@given(spans, spans)
def test_iou_is_symmetric_bounded_and_that_of_the_seconds_covered(a, b):
    assert 0.0 <= iou(a, b) == iou(b, a) <= 1.0
    assert set_iou([a], [b]) == pytest.approx(iou(a, b), abs=1e-9)


TWO = (Span(0, 10), Span(20, 30))


def test_where_one_span_is_read_it_scores_the_best_annotated_one():
    assert answer_iou([Span(20, 30)], TWO, many=False) == 1.0
    assert answer_iou([Span(0, 5)], TWO, many=False) == 0.5
    assert answer_iou([], TWO, many=False) == answer_iou([Span(0, 1)], [], many=False) == 0.0
    with pytest.raises(ValueError, match=r"does not list spans .* gave 2"):
        answer_iou(TWO, TWO, many=False)


def test_where_spans_are_listed_answer_and_annotation_are_compared_as_unions():
    assert answer_iou([Span(20, 30)], TWO, many=True) == 0.5, "one of two is half of the answer"
    assert answer_iou(TWO, TWO, many=True) == 1.0
    assert answer_iou([Span(0, 10), Span(20, 25)], TWO, many=True) == pytest.approx(15 / 20)
    assert answer_iou([Span(0, 6), Span(4, 10), Span(20, 30)], TWO, many=True) == 1.0
    assert answer_iou([], TWO, many=True) == answer_iou(TWO, [], many=True) == 0.0


def test_what_is_written_is_the_longest_span_or_all_of_them_and_scores_one():
    annotated = [Span(20, 22), Span(0, 1), Span(0.5, 2)]
    assert to_write(annotated, many=False) == (Span(20, 22),)
    assert to_write(annotated, many=True) == (Span(0, 2), Span(20, 22))
    for many in (False, True):
        assert answer_iou(to_write(annotated, many), annotated, many) == 1.0


def test_a_longer_list_than_the_annotated_one_never_gains_by_what_is_beside_it():
    assert answer_iou([*TWO, Span(40, 60)], TWO, many=True) == pytest.approx(0.5)
    assert [len(right) for right in alternatives(TWO, many=True)] == [2]
    assert [len(right) for right in alternatives(TWO, many=False)] == [1, 1]
    assert alternatives([], many=True) == alternatives([], many=False) == ()


@given(spans, st.lists(spans, min_size=1, max_size=4))
def test_sets_in_one_tensor_score_as_one_by_one(span, annotated):
    disjoint = torch.tensor([*union(annotated), (0.0, 0.0)], dtype=torch.float64)
    value = set_ious(torch.tensor(span, dtype=torch.float64), disjoint)
    assert float(value) == pytest.approx(set_iou([span], annotated), abs=1e-9)
    one = ious(torch.tensor(span, dtype=torch.float64), torch.tensor(annotated, dtype=torch.float64)).max()
    assert float(one) == pytest.approx(answer_iou([span], annotated, many=False), abs=1e-9)


@given(spans, spans)
def test_one_span_each_scores_to_the_last_digit_whether_or_not_spans_are_listed(a, b):
    assert answer_iou([a], [b], many=True) == answer_iou([a], [b], many=False) == iou(a, b)


def test_set_iou_of_published_examples(real_data: Path):
    pairs = json.loads((real_data / "oracles" / "set_metrics_examples.json").read_text())["pairs"]
    assert len(pairs) >= 10
    for pair in pairs:
        answered, annotated = ([Span(*span) for span in pair[name]] for name in ("pred", "gt"))
        value = answer_iou(answered, annotated, many=True)
        assert value == pytest.approx(pair["iou_both_merged"], abs=1e-6), pair["id"]


def test_union_merges_what_touches_and_drops_what_has_no_length():
    assert union([Span(5, 6), Span(0, 2), Span(2, 3), Span(4, 4)]) == (Span(0, 3), Span(5, 6))


def test_recall_counts_its_threshold_in():
    assert recall([0.3, 0.5, 0.7], 0.5) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="undefined"):
        recall([], 0.5)
