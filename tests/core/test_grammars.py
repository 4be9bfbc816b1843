"""The papers' grammars and format checks give the values that the released code gives."""

from __future__ import annotations

import pytest

from kairos.core.answers import read
from kairos.core.grammar import Grammar
from kairos.core.spans import Span, answer_iou
from kairos.data.templates.grammars import (
    TEMPORAL_R1,
    TEMPSAMP_R1,
    TIMEZERO,
    temporal_r1_format,
    tempsamp_format,
    tempsamp_strict_format,
    timezero_format,
)

TRUTH = (Span(5.1, 10.2),)


def score(text: str, grammar: Grammar) -> float:
    return answer_iou(read(text, grammar).spans, TRUTH, grammar.many)


@pytest.mark.parametrize(
    ("text", "iou", "form"),
    [
        ("<think>x</think><answer>5.0 to 11.6</answer>", 0.772727, True),
        ("<think>x</think><answer>5.0 and 11.6</answer>", 0.772727, True),
        ("<think>x</think><answer>5.0 TO 11.6</answer>", 0.772727, True),
        ("<think>x</think><answer>1 to 2</answer> so <answer>5.0 to 11.6</answer>", 0.772727, True),
        ("<answer>5.0 to 11.6</answer>", 0.772727, False),
        ("<think>x</think> so <answer>5.0 to 11.6</answer>", 0.772727, False),
        ("<think>x</think><answer>5.0 - 11.6</answer>", 0.0, True),
        ("<think>x</think><answer>11.6 to 5.0</answer>", 0.0, True),
        ("<think>x</think><answer>5.0s to 11.6s</answer>", 0.0, True),
        ("<think>x</think><answer>5.0  to  11.6</answer>", 0.0, True),
        ("<think>x</think><answer>0 to 100</answer>", 0.051, True),
        ("\n<think>x</think>\n<answer>no numbers</answer> \n", 0.0, True),
        ("<think>x<answer>5.0 to 11.6</answer>", 0.772727, False),
    ],
)
def test_timezero_and_time_r1(text, iou, form):
    assert score(text, TIMEZERO) == pytest.approx(iou, abs=1e-6)
    assert timezero_format(text) is form


@pytest.mark.parametrize(
    ("text", "iou", "total"),
    [
        ('<think>x</think><answer>{"start_time": "5.0", "end_time": "11.6"}</answer>', 0.772727, 0.886364),
        ('<answer>{"start_time": "5.0", "end_time": "11.6"}</answer>', 0.772727, 0.386364),
        ('<think>x</think><answer>{"start_time": "11.6", "end_time": "5.0"}</answer>', 0.0, 0.5),
        ('<think>x</think><answer>{"start_time": "20", "end_time": "25"}</answer>', 0.0, 0.5),
        ('<think>x</think><answer>{"end_time": "11.6", "start_time": "5.0"}</answer>', 0.772727, 0.386364),
        ('<think>x</think><answer>{"start_time": 5.0, "end_time": 11.6}</answer>', 0.772727, 0.386364),
        ("<think>x</think><answer>5.0 to 11.6</answer>", 0.0, 0.0),
        ('<think>x</think><answer>{"start_time": "1.2.3", "end_time": "4"}</answer>', 0.0, 0.5),
        ('<think>x</think><answer>{"start_time": "5.0", "end_time": "11.6"}</answer>\n', 0.772727, 0.386364),
        ('<answer>\u00a0{"start_time": "5.0", "end_time": "11.6"}\u2003\n</answer>', 0.772727, 0.386364),
        ('<answer>{"start_time":\u00a0"5.0", "end_time": "11.6"}</answer>', 0.0, 0.0),
    ],
)
def test_temporal_r1(text, iou, total):
    assert score(text, TEMPORAL_R1) == pytest.approx(iou, abs=1e-6)
    assert 0.5 * score(text, TEMPORAL_R1) + 0.5 * temporal_r1_format(text) == pytest.approx(total, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "span", "loose", "strict"),
    [
        ("<answer> 7.00 to 11.00 </answer>", Span(7, 11), True, True),
        ("7 to 11", Span(7, 11), False, False),
        ("<answer>1 to 2 or 7to11</answer><answer>3 to 4</answer>", Span(7, 11), True, False),
        ("<answer>7 - 11</answer>", Span(7, 11), True, True),
        ("<answer>1 to 2, then 7-11</answer>", Span(1, 2), True, True),
        ("<answer>it is 7 until 11.</answer>", Span(7, 11), False, False),
        ("<answer>1:02 to 1:10</answer>", None, True, True),
        ("<answer>11 to 7</answer>", None, True, True),
        ("<answer>7 to\n11</answer>", Span(7, 11), True, False),
        ("<answer>7 TO 11</answer>", Span(7, 11), False, False),
        ("<answer>7 to 11</answer>.", Span(7, 11), True, False),
        ("<answer>7 to 11</answer> \n\u00a0", Span(7, 11), True, True),
        ("<answer>7 to\r11</answer>", Span(7, 11), True, False),
        ("<answer>seven</answer>", None, False, False),
    ],
)
def test_tempsamp_r1(text, span, loose, strict):
    assert read(text, TEMPSAMP_R1).spans == (() if span is None else (span,))
    assert (tempsamp_format(text), tempsamp_strict_format(text)) == (loose, strict)
