"""What a run logs of answers that list spans: they are compared with all annotated spans."""

from __future__ import annotations

import pytest
import torch

from kairos.core.spans import Span
from kairos.core.types import Prompt, Rollout, RolloutGroup, Target, VideoClip
from kairos.credit.earned import Earned
from kairos.credit.rewards.grounding import IoU
from kairos.credit.rewards.rubric import Rubric, Weighted
from kairos.data.templates.answer import AnswerOnly
from kairos.data.templates.spans import AllSpans
from kairos.train.diagnostics import Credited, measure, records
from kairos.train.meter import Meter

TWO = Target(spans=(Span(0.0, 10.0), Span(20.0, 30.0)))


def credited(template: AnswerOnly | AllSpans, *texts: str) -> Credited:
    prompt = Prompt("p", "grounding", "s", VideoClip("c", None, torch.zeros(0), 30.0), "", TWO, template=template)
    group = RolloutGroup(prompt, tuple(Rollout(f"<answer>{text}</answer>", torch.zeros(3)) for text in texts))
    scores = Rubric({"iou": Weighted(IoU())})(group)
    return Credited(group, scores, Earned(torch.zeros(len(texts)), torch.ones(len(texts)), 1.0))


def test_the_logged_iou_is_the_rewarded_one_whether_or_not_spans_are_listed():
    for template, value in ((AllSpans(), 0.5), (AnswerOnly(), 1.0)):
        meter = Meter()
        measure(meter, credited(template, "0.0 to 10.0"))
        log = meter.reduce()
        assert log["rollout/iou"] == log["reward/iou"] == pytest.approx(value)


def test_a_row_holds_all_the_spans_that_it_lists():
    (row,) = records(1, credited(AllSpans(), "0.0 to 10.0 and 20.0 to 30.0"))
    assert row["spans"] == row["target"] == [[0.0, 10.0], [20.0, 30.0]]
    assert row["terms"] == {"iou": 1.0}
