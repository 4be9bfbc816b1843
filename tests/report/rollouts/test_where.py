"""Conditions on rows: what they mean, that nothing else is read, and that an error says what and where."""

from __future__ import annotations

import pytest
from helpers.conditions import CODE, TRUE

from kairos.report.rollouts.row_fields import ConditionError
from kairos.report.rollouts.where import parse

ROW = {
    "reward": 1.5, "weight": 0.0, "advantage": -0.25, "text": "wait, 5 to 9", "origin": "policy", "reason": None,
    "truncated": False, "spans": [], "terms": {"iou": 0.5, "a-b": 2.0}, "duration": float("nan"), "task": "größe",
}  # fmt: skip


@pytest.mark.parametrize("text", TRUE)
def test_a_condition_holds(text: str) -> None:
    assert parse(text)(ROW) is True
    assert parse(f"not ({text.strip()})")(ROW) is False


def test_and_binds_before_or_and_not_before_both() -> None:
    assert parse("text or text and reason")(ROW)
    assert not parse("(text or text) and reason")(ROW)
    assert parse("not reason and text")(ROW)


@pytest.mark.parametrize("text", CODE, ids=range(len(CODE)))
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ConditionError, match="where"):
        parse(text)


def test_a_condition_as_long_as_may_be_is_evaluated() -> None:
    assert parse("not " * 248 + "text")(ROW) is True


@pytest.mark.parametrize(
    ("text", "character", "why"),
    [
        ("reward > 1 and ) weight", 16, "this cannot be read"),
        ("'ü' in text and reward + 1 > 2", 17, "'reward \\+ 1' is no value"),
        ("text and f(reward)", 10, "'f\\(reward\\)' is no condition"),
        ("a.b.c == 1", 1, "'a.b.c' is no field"),
        ("text and reward is null", 10, "'reward is null' is no such comparison"),
    ],
)
def test_an_error_names_the_condition_the_place_and_the_fields(text: str, character: int, why: str) -> None:
    with pytest.raises(
        ConditionError, match=rf"^where=.*, character {character}: {why}.* the fields are reward, text$"
    ):
        parse(text, ["reward", "text"])


@pytest.mark.parametrize(
    ("text", "why"),
    [("text and text < 1", "character 10: 'wait, 5 to 9' and 1 have no order"), ("'a' in reward", "not 1.5")],
)
def test_what_cannot_be_ordered_or_searched_is_an_error(text: str, why: str) -> None:
    with pytest.raises(ConditionError, match=why):
        parse(text)(ROW)
