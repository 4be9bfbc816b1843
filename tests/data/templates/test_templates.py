"""The wordings: the papers' strings to the letter, and answers that each template's own reader reads."""

from __future__ import annotations

import json
import pickle

import pytest
import torch

from kairos.core.answers import read
from kairos.core.grammar import STRICT_LIST
from kairos.core.spans import Span
from kairos.core.types import Prompt, Target, VideoClip
from kairos.data.templates.answer import AnswerOnly
from kairos.data.templates.caption import Caption
from kairos.data.templates.spans import AllSpans, AllSpansThink
from kairos.data.templates.think import Think
from kairos.data.templates.timezero import TimeR1Think, TimeZeroDirect, TimeZeroThink

ALL = (AnswerOnly(), Think(), TimeZeroThink(), TimeR1Think(), TimeZeroDirect(), AllSpans(), AllSpansThink())


def prompt(
    task: str = "grounding", question: str = " Person turns a Light on. ", options: tuple[str, ...] = ()
) -> Prompt:
    return Prompt("u", task, "s", VideoClip("c", None, torch.zeros(0), 16.0), question, Target(), options)


def words(turn: dict[str, object]) -> tuple[list[str], str]:
    """The kinds of a turn's parts in order, and its text."""
    parts = turn["content"]
    assert isinstance(parts, list)
    return [part["type"] for part in parts], next(part["text"] for part in parts if part["type"] == "text")


TIMEZERO = """To accurately pinpoint the event "person turns a light on" in the video, determine the precise time period of the event.

Output your thought process within the <think> </think> tags, including analysis with either specific timestamps (xx.xx) or time ranges (xx.xx to xx.xx) in <timestep> </timestep> tags.

Then, provide the start and end times (in seconds, precise to two decimal places) in the format "start time to end time" within the <answer> </answer> tags. For example: "12.54 to 17.83"."""  # noqa: E501
TIME_R1 = TIMEZERO.replace("specific timestamps (xx.xx) or time ranges", "specific time ranges")
DIRECT = """To accurately pinpoint the event "person turns a light on" in the video, determine the precise time period of the event.

Provide the start and end times (in seconds, precise to two decimal places) in the format "start time to end time" within the <answer> </answer> tags. For example: "12.54 to 17.83"."""  # noqa: E501


@pytest.mark.parametrize(
    ("template", "text"), [(TimeZeroThink(), TIMEZERO), (TimeR1Think(), TIME_R1), (TimeZeroDirect(), DIRECT)]
)
def test_the_papers_prompts_are_theirs_to_the_letter_with_the_text_first(template: TimeZeroThink, text: str) -> None:
    system, user = template.messages(prompt())
    assert system == {"role": "system", "content": [{"type": "text", "text": "You are a helpful assistant."}]}
    assert words(user) == (["text", "video"], text)


def test_the_mini_wordings_show_the_video_first_and_list_the_options() -> None:
    (turn,) = AnswerOnly().messages(prompt(question="the red circle"))
    assert words(turn) == (["video", "text"], "When do you see the red circle? Write <answer>start to end</answer>.")
    (turn,) = Think().messages(prompt("grounded_qa", "Which is first?", ("red", "blue")))
    assert words(turn)[1] == (
        "Which is first?\n(A) red\n(B) blue\nWrite <think>reason</think><answer>letter start to end</answer>."
    )
    with pytest.raises(ValueError, match="no wording for task 'counting', only for grounding, choice"):
        AnswerOnly().messages(prompt("counting"))
    with pytest.raises(ValueError, match="no wording for task 'choice', only for grounding"):
        TimeZeroThink().messages(prompt("choice"))


@pytest.mark.parametrize("template", ALL, ids=lambda template: type(template).__name__)
def test_what_a_template_writes_it_reads_and_finds_well_formed(template: AnswerOnly) -> None:
    target = Target(spans=(Span(1.0, 2.0), Span(3.5, 6.0)), demonstration="red circle 3.5 to 6.0")
    text = template.answer(target)
    expected = target.spans if template.grammar.many else (Span(3.5, 6.0),)
    assert read(text, template.grammar).spans == expected, "the longest span is written, or all where spans are listed"
    assert template.well_formed(text) and template.well_formed(f"\n{text} ")
    assert not template.well_formed(text + "x")
    assert not template.well_formed("3.5 to 6.0")


@pytest.mark.parametrize("template", [AnswerOnly(), Think()])
def test_a_letter_is_written_alone_or_before_the_span(template: AnswerOnly) -> None:
    both = Target(spans=(Span(3.5, 6.0),), choice="B", demonstration="x")
    answer = read(template.answer(both), template.grammar)
    assert (answer.spans, answer.choice) == ((Span(3.5, 6.0),), "B")
    needle = Target(choice="C", evidence=(Span(3.5, 6.0),), demonstration="x")
    assert template.answer(needle).endswith("<answer>C</answer>")
    with pytest.raises(ValueError, match="neither a span nor a choice"):
        template.answer(Target(demonstration="x"))


def test_decimals_are_those_that_each_prompt_asks_for() -> None:
    target = Target(spans=(Span(3.5, 6.25),), demonstration="x")
    assert AnswerOnly().answer(Target(spans=(Span(3.5, 6.0),))) == "<answer>3.5 to 6.0</answer>"
    assert Think().answer(Target(spans=(Span(3.5, 6.0),), demonstration="x")) == (
        "<think>x</think><answer>3.5 to 6.0</answer>"
    )
    assert TimeZeroThink().answer(target) == "<think>x</think><answer>3.50 to 6.25</answer>"
    assert TimeZeroDirect().answer(target) == "<answer>3.5 to 6.25</answer>"


def test_without_written_reasoning_a_thinking_template_writes_the_answer_alone() -> None:
    target = Target(spans=(Span(3.5, 6.0),))
    assert Think().answer(target) == "<answer>3.5 to 6.0</answer>"
    assert not Think().well_formed(Think().answer(target))


@pytest.mark.parametrize(
    "text",
    ["<think>a</think>", "<answer>1 to 2</answer>", "<think>a<answer>1</answer>", "a<think></think><answer>1</answer>",
     "<think>a</think>b<answer>1</answer>", "<think>a</think><answer>1</answer><answer>2</answer>"],
)  # fmt: skip
def test_thinking_must_be_closed_and_followed_by_one_answer(text: str) -> None:
    assert not Think().well_formed(text)


@pytest.mark.parametrize("template", ALL, ids=lambda template: type(template).__name__)
def test_a_wording_is_plain_data_and_differs_from_the_others(template: AnswerOnly) -> None:
    described = template.describe()
    assert json.loads(json.dumps(described)) == described
    assert [other.describe() for other in ALL].count(described) == 1
    assert pickle.loads(pickle.dumps(template)) == template


def test_every_template_writes_a_list_when_its_grammar_lists_spans() -> None:
    target = Target(spans=(Span(3.5, 6.0), Span(1.0, 2.0)), choice="B")
    assert AnswerOnly(grammar=STRICT_LIST).answer(target) == "<answer>B 1.0 to 2.0 and 3.5 to 6.0</answer>"
    assert AnswerOnly().answer(target) == "<answer>B 3.5 to 6.0</answer>"
    answer = read(AnswerOnly(grammar=STRICT_LIST).answer(target), STRICT_LIST)
    assert (answer.spans, answer.choice) == ((Span(1.0, 2.0), Span(3.5, 6.0)), "B")


def test_all_spans_are_asked_for_with_the_video_first() -> None:
    for template in (AllSpans(), AllSpansThink()):
        _, turn = template.messages(prompt())
        kinds, text = words(turn)
        assert (
            kinds == ["video", "text"] and 'every time interval of the video in which the event "person turns' in text
        )
        assert ("<think>" in text) is (template.name == "spans_think")
    with pytest.raises(ValueError, match="no wording for task 'choice', only for grounding"):
        AllSpans().messages(prompt("choice"))


def test_a_wording_may_be_ones_own() -> None:
    mine = AnswerOnly(grounding="Wann: {question}?")
    assert words(mine.messages(prompt(question="der Hund"))[0])[1] == "Wann: der Hund?"
    assert mine.describe() != AnswerOnly().describe()
    with pytest.raises(ValueError, match=r"must hold \[EVENT\]"):
        TimeZeroThink(text="When?")


def test_a_caption_lists_the_options_where_there_are_some_and_is_the_demonstration_itself() -> None:
    (turn,) = Caption().messages(prompt("lettered", "", ("red star", "blue circle")))
    assert words(turn)[1] == (
        "What do you see?\n(A) red star\n(B) blue circle\nWrite every shape, letter, start to end."
    )
    assert Caption().answer(Target(demonstration="red star 1.0 to 2.0")) == "red star 1.0 to 2.0"
    with pytest.raises(ValueError, match="there is no caption to write"):
        Caption().answer(Target())
