"""Sets of spans, their transport and their lists: the published examples, and what no example shows."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kairos.core.span_lists import listed_spans
from kairos.core.span_sets import covered, paired_giou, set_giou, set_precision, set_recall, set_tiou
from kairos.core.span_transport import transport_distance, transport_score
from kairos.core.spans import Span, set_iou

Spans = tuple[Span, ...]
MEASURES = {
    "tiou_gt_unmerged": set_tiou, "iou_both_merged": set_iou, "precision": set_precision, "giou": set_giou,
    "ngiou": paired_giou, "w1": transport_distance, "r_w1_gt_beta1": transport_score,
    "r_w1_gt_beta3": lambda a, b: transport_score(a, b, beta=3.0),
    "r_w1_union_beta1": lambda a, b: transport_score(a, b, over_both=True),
    "recipe_total": lambda a, b: transport_score(a, b) + set_tiou(a, b),
    "len_gt_merged": lambda a, b: covered(b), "len_union": lambda a, b: covered([*a, *b]),
}  # fmt: skip
few = settings(max_examples=60, deadline=None)
some_spans = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda pair: Span(pair[0], pair[0] + pair[1])), max_size=4
).map(tuple)


def spans(pairs: list[list[float]]) -> Spans:
    return tuple(Span(float(start), float(end)) for start, end in pairs)


def test_the_examples_that_were_computed_twice_are_met(real_data: Path):
    pairs = json.loads((real_data / "oracles" / "set_metrics_examples.json").read_text())["pairs"]
    assert len(pairs) == 10
    for pair in pairs:
        stated, annotated = spans(pair["pred"]), spans(pair["gt"])
        found = {name: measure(stated, annotated) for name, measure in MEASURES.items()}
        assert found == pytest.approx({name: pair[name] for name in MEASURES}, abs=1e-6), pair["id"]


def test_the_texts_that_the_released_parser_was_given_are_read_as_it_read_them(real_data: Path):
    cases = json.loads((real_data / "oracles" / "set_metrics_examples.json").read_text())["timelens2_parser"]
    assert len(cases) == 13
    for case in cases:
        stated, annotated = listed_spans(case["text"]), spans(case["gt"])
        assert stated == spans(case["spans"]), case["text"]
        total = transport_score(stated, annotated) + set_tiou(stated, annotated) if stated else -1.0
        assert total == pytest.approx(case["recipe_total"], abs=1e-6)


@few
@given(some_spans, some_spans)
def test_every_measure_keeps_its_bounds_and_knows_empty_sets(stated: Spans, annotated: Spans):
    for measure in (set_tiou, set_precision, set_recall, paired_giou, transport_score):
        assert 0.0 <= measure(stated, annotated) <= 1.0 + 1e-12
    assert -1.0 < set_giou(stated, annotated) <= 1.0
    if not stated or not annotated:
        both = float(not stated and not annotated)
        assert set_tiou(stated, annotated) == transport_score(stated, annotated) == both


@few
@given(some_spans, st.integers(1, 40))
def test_moving_all_seconds_by_one_step_costs_that_step(stated: Spans, step: int):
    if stated:
        moved = tuple(Span(span.start + step, span.end + step) for span in stated)
        assert transport_distance(stated, moved) == pytest.approx(step)


def test_the_distance_crosses_from_one_side_to_the_other():
    assert transport_distance([Span(0, 10)], [Span(2, 8)]) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="seconds on both sides"):
        transport_distance([], [Span(0, 1)])


@pytest.mark.parametrize("text", ["[[1e999, 2]]", "[[true, 2]]", "[" * 200_000, '{"a": [[1, 2]]}', "[[1, 2, 3]]", ""])
def test_what_is_no_list_of_spans_is_no_answer(text: str):
    assert listed_spans(text) == ()


def test_a_number_that_is_no_time_spoils_the_list():
    assert listed_spans('[["x", 2], [3, 4]]') == () and math.isfinite(listed_spans("[[1, 2]]")[0].end)
