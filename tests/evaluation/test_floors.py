"""What a predictor scores that never looks: against brute force, and on Charades-STA against the known numbers."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from kairos.core.spans import Span, answer_iou
from kairos.evaluation.floors import Asked, chance, constant_span, full_video
from kairos.evaluation.predictions import Prediction
from kairos.evaluation.score_table import floors


def test_the_best_constant_span_is_found_in_fractions():
    targets = [Asked((Span(0.25 * d, 0.5 * d),), d) for d in (4.0, 10.0, 37.0, 90.0)]
    floor = constant_span(targets)
    assert (
        floor.unit == "fractions" and tuple(floor.span) == pytest.approx((0.25, 0.5)) and floor.miou == pytest.approx(1)
    )


def test_the_best_constant_span_is_found_in_seconds_and_cut_at_the_duration():
    targets = [Asked((Span(2.0, min(6.0, d)),), d) for d in (5.0, 10.0, 37.0, 90.0)]
    floor = constant_span(targets)
    assert floor.unit == "seconds" and floor.miou > 0.97


@pytest.mark.parametrize("many", [False, True])
def test_no_constant_on_a_dense_grid_is_much_better(many):
    draw = random.Random(0)
    targets = []
    for _ in range(60):
        duration = draw.uniform(8, 40)
        spans = tuple(
            Span(s := draw.uniform(0, 0.8 * duration), s + draw.uniform(1, 6)) for _ in range(draw.choice((1, 2)))
        )
        targets.append(Asked(spans, duration, many))
    floor = constant_span(targets)
    dense = max(
        sum(answer_iou((Span(a / 50 * d, b / 50 * d),), spans, many) for spans, d, _ in targets) / len(targets)
        for a in range(50)
        for b in range(a + 1, 51)
    )
    assert floor.miou >= dense - 0.01
    assert floor.miou >= full_video(targets).miou
    assert floor.miou == pytest.approx(sum(floor.ious) / 60)


def test_a_constant_answer_to_listed_spans_is_compared_with_all_of_them():
    spans = (Span(0.0, 2.0), Span(6.0, 10.0), Span(7.0, 8.0))
    assert full_video([Asked(spans, 10.0, many=True)]).ious == pytest.approx((0.6,))
    assert full_video([Asked(spans, 10.0)]).ious == pytest.approx((0.4,))
    mixed = [Asked(spans, 10.0, many=True), Asked(spans, 10.0), Asked((Span(0.0, 5.0),), 10.0, many=True)]
    assert full_video(mixed).ious == pytest.approx((0.6, 0.4, 0.5))
    assert constant_span([Asked(spans, 10.0, many=True)]).miou == pytest.approx(4 / 6)


def test_chance_is_the_mean_over_questions_not_over_options():
    assert chance([2, 4]) == pytest.approx(0.375)
    with pytest.raises(ValueError, match="at least one option"):
        chance([4, 0])


def test_charades_floors_are_the_known_ones(real_data: Path):
    durations = {
        uid: row["duration"] for uid, row in json.loads((real_data / "annotations/charades.json").read_text()).items()
    }
    targets = []
    for line in (real_data / "annotations/charades_sta_test.txt").read_text().splitlines():
        uid, start, end = line.split("##")[0].split()
        targets.append(Asked((Span(float(start), float(end)),), durations[uid]))
    assert len(targets) == 3720
    rows = [
        Prediction(
            str(i), "grounding", "charades", "?", "", 0, False, (), None, "missing", spans, None, 0, duration, 0.0, None
        )
        for i, (spans, duration, _) in enumerate(targets)
    ]  # fmt: skip
    full = floors(rows)["full"]
    assert isinstance(full, dict)
    whole = {name: round(100 * value, 2) for name, value in full.items()}
    assert whole == {"miou": 26.99, "recall_30": 34.30, "recall_50": 0.43, "recall_70": 0.0}
    best = constant_span(targets)
    assert 0.3035 <= best.miou <= 0.3100, "[0, 0.4 T] scores 30.35"
    assert best.span.start == 0.0 and 0.38 <= best.span.end <= 0.46
