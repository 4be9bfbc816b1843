"""Highlights are read and scored as the formula says, and long answers cost what DAPO says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from kairos.core.types import Origin, Rollout, RolloutGroup, Target
from kairos.credit.rewards.highlight import Highlights, stated
from kairos.credit.rewards.length import Overlong

MARKS = ((82.0, 2.0), (84.0, 4.0), (90.0, 1.0))


def said(seconds: str, scores: str) -> str:
    return (
        f"<answer>The highlight timestamps are in the {seconds} seconds. Their saliency scores are {scores}.</answer>"
    )


def score(group_of, *texts: str, marks=MARKS) -> list[float]:
    return Highlights()(group_of(list(texts), Target(highlights=marks), task="highlight")).tolist()


def test_exact_highlights_score_one(group_of):
    assert score(group_of, said("82, 84, 90", "2, 4, 1"), said("90, 82, 84", "1.0, 2.0, 4.0")) == pytest.approx([1, 1])


def test_the_formula_by_hand(group_of):
    """One of two stated times is right, one of three is found; its score is off by 1 of 4."""
    f2 = 5 * (1 / 2) * (1 / 3) / (4 / 2 + 1 / 3)
    expected = 0.6 * f2 + 0.4 / (1 + 1.0)
    assert score(group_of, said("84.6, 100", "3, 5")) == pytest.approx([expected])
    two = 0.6 * 5 * 1 * (2 / 3) / (4 + 2 / 3) + 0.4 / (1 + (4 * 1 + 16 * 4) / (4 + 16))
    assert score(group_of, said("82, 84", "3, 2")) == pytest.approx([two])


def test_a_time_is_matched_once(group_of):
    once = 0.6 * 5 * (1 / 3) * (1 / 3) / (4 / 3 + 1 / 3) + 0.4
    assert score(group_of, said("84, 84.1, 84.2", "4, 4, 4")) == pytest.approx([once])


def test_what_is_no_list_of_highlights_scores_zero(group_of):
    texts = (said("1, 2", "3, 4"), said("82, 84", "2"), "<answer>82 to 84</answer>", "", said("", ""))
    assert score(group_of, *texts) == [0.0] * 5
    assert score(group_of, said("82", "2"), marks=((82.0, 0.0),)) == pytest.approx([1.0]), "no saliency, no error"


def test_highlights_are_read_from_the_last_block_and_from_huge_answers_in_linear_time():
    assert stated("<answer>9 saliency 9</answer> so " + said("1.5", "2")) == [(1.5, 2.0)]
    assert stated("1 2 scores 3 4") == [(1.0, 3.0), (2.0, 4.0)]
    assert stated("1" * 5_000_000) == [] and stated("saliency " * 500_000) == []


def test_a_prompt_without_highlights_is_refused(group_of):
    group = group_of(["x"])
    with pytest.raises(ValueError, match=r"'uid-7'.*no highlights; restrict"):
        Highlights()(RolloutGroup(replace(group.prompt, target=Target()), group.rollouts))
    with pytest.raises(ValueError, match="tolerance must be >= 0"):
        Highlights(tolerance=-1.0)
    with pytest.raises(ValueError, match="must lie in"):
        Highlights(timing=2.0)


def test_an_answer_costs_up_to_one_near_the_limit(group_of):
    group = group_of(["x"])
    rows = [Rollout("x", torch.zeros(length, dtype=torch.long)) for length in (0, 6, 7, 8, 9, 10, 12)]
    rows.append(Rollout("injected", None, origin=Origin.GROUND_TRUTH))
    cost = Overlong(longest=10, margin=4)(RolloutGroup(group.prompt, tuple(rows)))
    assert cost.tolist() == pytest.approx([0, 0, -0.25, -0.5, -0.75, -1, -1, 0])
    with pytest.raises(ValueError, match="a row that is scored again must say `length`"):
        Overlong(longest=10, margin=4)(RolloutGroup(group.prompt, (Rollout("written", None),)))
    with pytest.raises(ValueError, match=r"margin must lie in \(0, longest\] actions, got 4 of 3"):
        Overlong(3, 4)
