"""Injections put the annotation where they say, and gates weigh groups without dropping rows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from kairos.core.spans import Span
from kairos.core.types import Origin, RolloutGroup, Target
from kairos.credit.gates import MinimumSpread, NoGate
from kairos.credit.injections import GroundTruth, NoInjection
from kairos.credit.rewards.grounding import IoU
from kairos.data.templates.spans import AllSpans

WRITTEN = "<answer>5.1 to 10.2</answer>"


def rows(group: RolloutGroup) -> list[str]:
    return ["*" if rollout.origin is Origin.GROUND_TRUTH else rollout.text for rollout in group.rollouts]


def injected(group_of, injection: GroundTruth, group_size: int) -> RolloutGroup:
    return injection(group_of([str(row) for row in range(injection.sampled(group_size))]))


@pytest.mark.parametrize(
    ("injection", "expected"),
    [
        (GroundTruth(), ["0", "1", "2", "*"]),
        (GroundTruth(slot=0), ["*", "0", "1", "2"]),
        (GroundTruth(slot=1), ["0", "*", "1", "2"]),
        (GroundTruth(slot=-2), ["0", "1", "*", "2"]),
        (GroundTruth(overwrite=True), ["0", "1", "2", "*"]),
        (GroundTruth(slot=1, overwrite=True), ["0", "*", "2", "3"]),
        (GroundTruth(append=True), ["0", "1", "2", "3", "*"]),
    ],
)
def test_the_annotation_takes_its_slot(group_of, injection, expected):
    group = injected(group_of, injection, 4)
    assert rows(group) == expected
    written = next(rollout for rollout in group.rollouts if rollout.origin is Origin.GROUND_TRUTH)
    assert written.text == WRITTEN and written.actions_A is None and written.behavior_logprobs_A is None
    assert (~group.on_policy_G).tolist() == [row == "*" for row in expected]


def test_the_annotation_is_the_longest_span(group_of):
    group = GroundTruth()(group_of(["x"], Target(spans=(Span(0, 1), Span(2, 5), Span(6, 7)))))
    assert group.rollouts[-1].text == "<answer>2.0 to 5.0</answer>"


def test_where_answers_list_spans_the_annotation_is_all_of_them_and_scores_one(group_of):
    target = Target(spans=(Span(6, 7), Span(0, 1), Span(2, 5)))
    group = group_of(["<answer>2.00 to 5.00</answer>"], target)
    group = GroundTruth()(replace(group, prompt=replace(group.prompt, template=AllSpans())))
    assert group.rollouts[-1].text == "<answer>0.00 to 1.00 and 2.00 to 5.00 and 6.00 to 7.00</answer>"
    assert IoU()(group).tolist() == pytest.approx([0.6, 1.0])


def test_how_many_rows_the_engine_is_asked_for():
    assert [NoInjection().sampled(8), GroundTruth().sampled(8)] == [8, 7]
    assert [GroundTruth(overwrite=True).sampled(8), GroundTruth(append=True).sampled(8)] == [8, 8]
    assert GroundTruth(append=True).sampled(1) == 1


def test_an_injection_that_cannot_be_is_refused(group_of):
    with pytest.raises(ValueError, match="group_size must be >= 2"):
        GroundTruth().sampled(1)
    with pytest.raises(ValueError, match="one of overwrite and append"):
        GroundTruth(overwrite=True, append=True)
    with pytest.raises(ValueError, match="slot 4 lies outside a group of 4"):
        injected(group_of, GroundTruth(slot=4), 4)
    group = group_of(["x"])
    with pytest.raises(ValueError, match="'uid-7' has no template"):
        GroundTruth()(RolloutGroup(replace(group.prompt, template=None), group.rollouts))


def test_no_injection_changes_nothing(group_of):
    group = group_of(["x"])
    assert NoInjection()(group) is group


def test_a_gate_looks_at_the_rows_of_the_policy_unless_told_otherwise():
    rewards, on_policy = torch.tensor([0.5, 0.5, 1.0]), torch.tensor([True, True, False])
    assert MinimumSpread()(rewards, on_policy) == 0.0
    assert MinimumSpread(injected=True)(rewards, on_policy) == 1.0
    assert MinimumSpread(0.5, injected=True)(rewards, on_policy) == 1.0
    assert MinimumSpread(0.51, injected=True)(rewards, on_policy) == 0.0
    assert NoGate()(rewards, on_policy) == 1.0


def test_a_group_without_two_rows_of_the_policy_has_no_spread():
    assert MinimumSpread()(torch.tensor([1.0]), torch.tensor([True])) == 0.0
    assert MinimumSpread()(torch.tensor([1.0, 0.0]), torch.tensor([False, False])) == 0.0
    with pytest.raises(ValueError, match="minimum must be > 0"):
        MinimumSpread(0.0)
