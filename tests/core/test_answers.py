"""Answers are read as each grammar says, and a failure says why."""

from __future__ import annotations

import pytest

from kairos.core.answers import read
from kairos.core.grammar import LENIENT, LENIENT_LIST, STRICT, STRICT_LIST, Grammar
from kairos.core.json_patterns import JsonKeys, JsonList, JsonSpans
from kairos.core.patterns import FirstNumbers, Letter, Pair
from kairos.core.spans import Span
from kairos.core.types import Target


@pytest.mark.parametrize("grammar", [STRICT, LENIENT], ids=["strict", "lenient"])
def test_the_mini_answers_are_read_by_strict_and_lenient(grammar):
    span = (Span(3.5, 6.0),)
    grounded = read("<think>it is red</think><answer>3.5 to 6.0</answer>", grammar)
    assert (grounded.spans, grounded.choice, grounded.span_reason) == (span, None, None)
    chosen = read("<answer>B</answer>", grammar)
    assert (chosen.spans, chosen.choice, chosen.choice_reason) == ((), "B", None)
    both = read("<answer>B 3.5 to 6.0</answer>", grammar)
    assert (both.spans, both.choice, both.span_reason, both.choice_reason) == (span, "B", None, None)


@pytest.mark.parametrize(
    ("text", "span", "choice"),
    [
        ("<answer>From 3.5s to 6s</answer>", Span(3.5, 6.0), None),
        ("<answer>3.5 seconds until 6 sec.</answer>", Span(3.5, 6.0), None),
        ("<answer>0:03 - 0:06</answer>", Span(3.0, 6.0), None),
        ("<answer>0:03.5 \u2013 1:02:06</answer>", Span(3.5, 3726.0), None),
        ("<answer>3-6</answer>", Span(3.0, 6.0), None),
        ("<answer>-1 to 6</answer>", Span(-1.0, 6.0), None),
        ("<answer>[3.5, 6.0]</answer>", Span(3.5, 6.0), None),
        ("<answer>start: 3.5 s, end: 6 s</answer>", Span(3.5, 6.0), None),
        ("<answer>it starts at 3.5s and ends at 6s</answer>", Span(3.5, 6.0), None),
        ('<answer>```json\n{"end_time": "6", "start_time": 3.5}\n```</answer>', Span(3.5, 6.0), None),
        ('<answer>{"time": [3.5, 6.0]}</answer>', Span(3.5, 6.0), None),
        ("<ANSWER>3.5 to 6.0</Answer>", Span(3.5, 6.0), None),
        ("The event happens from 3.5 to 6.0 seconds.", Span(3.5, 6.0), None),
        ("<answer>(B)</answer>", None, "B"),
        ("<answer>B. red circle</answer>", None, "B"),
        ("<answer>The answer is B</answer>", None, "B"),
        ("<answer>b)</answer>", None, "B"),
        ("(B) red circle", None, "B"),
        ("B", None, "B"),
        ("A red circle moves", None, None),
        ("<answer>B, 3.5s to 6s</answer>", Span(3.5, 6.0), "B"),
    ],
)
def test_lenient_reads_what_users_models_write(text, span, choice):
    answer = read(text, LENIENT)
    assert answer.spans == (() if span is None else (span,))
    assert answer.choice == choice


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<think>3 to 6", "unclosed_think"),
        ("<think>3 to 6<answer>3 to 6</answer>", "unclosed_think"),
        ("<answer>3 to 6</answer><think>", "unclosed_think"),
        ("3 to 6", "no_answer_block"),
        ("<think><answer>3 to 6</answer></think>", "no_answer_block"),
        ("<answer>3 to 6", "no_answer_block"),
        ("<answer>3 to 6</answer><answer>3 to 6</answer>", "several_answer_blocks"),
        ("<answer></answer>", "no_pair_of_times"),
        ("<answer>B</answer>", "no_pair_of_times"),
        ("<answer>6 to 3</answer>", "reversed_span"),
        ("<answer>3 to 3</answer>", "empty_span"),
        (f"<answer>3 to {'9' * 400}</answer>", "not_finite"),
        ("<answer>about 3 to 6</answer>", "more_than_the_answer"),
        ("<answer>3 to 6 to 9</answer>", "more_than_the_answer"),
        ("<answer>3 to 6, 7 to 9</answer>", "more_than_the_answer"),
        ("<answer>-3 to 6</answer>", "more_than_the_answer"),
        ("<answer>B3 to 6</answer>", "more_than_the_answer"),
        ("<answer>nan to 6</answer>", "more_than_the_answer"),
        ("<answer>3  to  6</answer>", "more_than_the_answer"),
    ],
)
def test_strict_says_why_there_is_no_span(text, reason):
    answer = read(text, STRICT)
    assert answer.spans == () and answer.span_reason == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nothing here", "no_answer_block"),
        ("3 to 6 or 7 to 9", "several_pairs_of_times"),
        ("<answer>at noon</answer>", "no_pair_of_times"),
        ('<answer>{"start_time": NaN, "end_time": 3}</answer>', "not_finite"),
        ("<answer>6 to 3</answer>", "reversed_span"),
        ("<think>3 to 6", "unclosed_think"),
    ],
)
def test_lenient_says_why_there_is_no_span(text, reason):
    assert read(text, LENIENT).span_reason == reason


def test_thinking_is_read_only_where_the_grammar_does_not_cut_it():
    text = "<think>it is 1 to 2</think>"
    kept = Grammar((Pair(),), block="text")
    assert read(text, kept).spans == (Span(1.0, 2.0),)
    assert read(text, Grammar((Pair(),), block="text", cut_thinking=True)).span_reason == "no_pair_of_times"


def test_the_grammar_says_which_block_and_which_match_count():
    text = "<answer>1 to 2, 3 to 4</answer> <answer>5 to 6, 7 to 8</answer>"
    for block, pick, expected in [
        ("first", "first", Span(1, 2)), ("first", "last", Span(3, 4)),
        ("last", "first", Span(5, 6)), ("last", "last", Span(7, 8)),
    ]:  # fmt: skip
        assert read(text, Grammar((Pair(pick=pick),), block=block)).spans == (expected,)
    assert read(text, Grammar((Pair(pick="first"),), block="text")).spans == (Span(1, 2),)


def test_patterns_are_tried_in_order_and_the_first_that_occurs_decides():
    text = "<answer>1 - 2 and then 9 to 8</answer>"
    assert read(text, Grammar((Pair(("to",)), Pair(("-",))))).span_reason == "reversed_span"
    assert read(text, Grammar((Pair(("-",)), Pair(("to",))))).spans == (Span(1, 2),)


def test_a_list_of_spans_is_an_option():
    text = "<answer>1 to 2, 5 to 6; 8 to 9</answer>"
    spans = (Span(1, 2), Span(5, 6), Span(8, 9))
    assert read(text, Grammar((Pair(),), many=True)).spans == spans
    assert read(text, Grammar((Pair(),), many=True, whole=True)).spans == spans
    assert (
        read(text.replace(";", "or"), Grammar((Pair(),), many=True, whole=True)).span_reason == "more_than_the_answer"
    )
    assert read(text.replace("8 to", "9 to"), Grammar((Pair(),), many=True)).span_reason == "empty_span"
    listed = '<answer>{"time": [[1, 2], [5, 6]]}</answer>'
    assert read(listed, Grammar((JsonList(),), many=True)).spans == (Span(1, 2), Span(5, 6))
    assert read("1 to 2 and 5 to 6", Grammar((Pair(("to",)),), missing="single", many=True)).spans == spans[:2]


LISTS = [
    "1 to 2 and 5 to 6", "1 to 2, 5 to 6", "1.0 to 2.0; 5.0 to 6.0", "1 to 2, and 5 to 6", "1 to 2\nand\n5 to 6",
    "[[1, 2], [5, 6]]", '[["1", "2"], [5.0, 6]]', " [[1,2],\n[5,6]] ",
]  # fmt: skip


@pytest.mark.parametrize("text", LISTS)
@pytest.mark.parametrize("grammar", [STRICT_LIST, LENIENT_LIST], ids=["strict", "lenient"])
def test_a_list_in_words_or_in_brackets_is_read_by_strict_and_lenient(grammar, text):
    answer = read(f"<think>9 to 10</think><answer>{text}</answer>", grammar)
    assert (answer.spans, answer.span_reason) == ((Span(1, 2), Span(5, 6)), None)
    chosen = read(f"<answer>B {text}</answer>", grammar)
    assert (chosen.spans, chosen.choice) == ((Span(1, 2), Span(5, 6)), "B")


@pytest.mark.parametrize("grammar", [STRICT_LIST, LENIENT_LIST], ids=["strict", "lenient"])
def test_a_list_of_one_is_a_list(grammar):
    for text in ("1 to 2", "[[1, 2]]", "[1, 2]"):
        assert read(f"<answer>{text}</answer>", grammar).spans == (Span(1, 2),)


@pytest.mark.parametrize(
    "text",
    [
        "From 1s to 2s and from 5s to 6s", "between 1 and 2, and between 5 and 6", "1-2 and 5-6",
        "0:01 - 0:02, 0:05 - 0:06",
        "It starts at 1 and ends at 2; again it starts at 5 and ends at 6", "The spans are [[1, 2], [5, 6]].",
        "[1, 2] and [5, 6]", '{"time": [[1, 2], [5, 6]]}', "```json\n[[1, 2], [5, 6]]\n```", "1, 2 and 5, 6",
        "(1 until 2) and (5 until 6)",
    ],
)  # fmt: skip
def test_lenient_reads_the_lists_that_models_write(text):
    assert read(f"<answer>{text}</answer>", LENIENT_LIST).spans == (Span(1, 2), Span(5, 6))
    assert read(f"<think>3 to 4</think>{text}", LENIENT_LIST).spans == (Span(1, 2), Span(5, 6)), "without tags as well"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<answer></answer>", "no_pair_of_times"),
        ("<answer>B</answer>", "no_pair_of_times"),
        ("1 to 2 and 5 to 6", "no_answer_block"),
        ("<think>1 to 2", "unclosed_think"),
        ("<answer>1 to 2</answer><answer>5 to 6</answer>", "several_answer_blocks"),
        ("<answer>1 to 2 and 6 to 5</answer>", "reversed_span"),
        ("<answer>1 to 2 and 5 to 5</answer>", "empty_span"),
        (f"<answer>1 to 2 and 3 to {'9' * 400}</answer>", "not_finite"),
        ("<answer>1 to 2 and 5</answer>", "more_than_the_answer"),
        ("<answer>1 to 2 and then 5 to 6</answer>", "more_than_the_answer"),
        ("<answer>1 to 2and 5 to 6</answer>", "more_than_the_answer"),
        ("<answer>1 to 2 and5 to 6</answer>", "more_than_the_answer"),
        ("<answer>1 to 2 and and 5 to 6</answer>", "more_than_the_answer"),
        ("<answer>1 to 2 or 5 to 6</answer>", "more_than_the_answer"),
        ("<answer>and 1 to 2</answer>", "more_than_the_answer"),
        ("<answer>1 to 2 and</answer>", "more_than_the_answer"),
        ("<answer>1 to 2 and [5, 6]</answer>", "more_than_the_answer"),
        ("<answer>[[1, 2], [6, 5]]</answer>", "reversed_span"),
        ("<answer>[[1, 2], [5, 5]]</answer>", "empty_span"),
        ("<answer>[[1, 2], [5, 1e999]]</answer>", "not_finite"),
        ("<answer>[[1, 2], [5, NaN]]</answer>", "not_finite"),
        ("<answer>[[1, 2], [5]]</answer>", "more_than_the_answer"),
        ("<answer>[[1, 2], 5]</answer>", "more_than_the_answer"),
        ("<answer>[[1, 2], [5, 6]</answer>", "more_than_the_answer"),
        ("<answer>[[[1, 2]]]</answer>", "more_than_the_answer"),
        ("<answer>[]</answer>", "more_than_the_answer"),
        ("<answer>[[1, 2]] [[5, 6]]</answer>", "more_than_the_answer"),
        ('<answer>[{"start": 1, "end": 2}]</answer>', "more_than_the_answer"),
    ],
)
def test_the_strict_list_says_why_there_is_none_and_never_reads_a_part_of_one(text, reason):
    answer = read(text, STRICT_LIST)
    assert answer.spans == () and answer.span_reason == reason


@pytest.mark.parametrize(
    "text", ["[[1, 2], [5]]", "[[1, 2], [5, 6, 7]]", '[[1, 2], ["x", 6]]', "[[1, 2], null]", "[]", "[[]]", "[" * 5000,
             "[[1, 2], [5, 6]", "]1, 2[", "[[1, 2]] and [[5, 6]]"],
)  # fmt: skip
def test_a_list_in_brackets_is_read_as_a_whole_or_not_at_all(text):
    assert list(JsonSpans().find(text)) == []


def test_json_keys_may_have_to_be_quoted():
    text = '<answer>{"start_time": 1, "end_time": "2"}</answer>'
    assert read(text, Grammar((JsonKeys(),))).spans == (Span(1, 2),)
    assert read(text, Grammar((JsonKeys(unquoted=False),))).span_reason == "no_pair_of_times"


@pytest.mark.parametrize(
    "block", ["[1, 2]", "null", "3", '{"start_time": 1}', '{"start_time": [1], "end_time": 2}', '{"time": 3}',
              '{"time": []}', '{"time": [1, 2, 3]}', '{"start_time": "x", "end_time": 2}', "{" * 50, "[" * 5000,
              '{"a":' * 5000],
)  # fmt: skip
def test_odd_json_is_no_pair(block):
    grammar = Grammar((JsonKeys(), JsonList(), JsonKeys(embedded=True)))
    assert read(f"<answer>{block}</answer>", grammar).span_reason == "no_pair_of_times"


def test_an_object_longer_than_any_answer_is_not_read():
    keys = ",".join(f'"{key}": 1' for key in range(20_000))
    for grammar in (Grammar((JsonKeys(),)), Grammar((JsonKeys(embedded=True),))):
        assert read('<answer>{"start_time": 1, "end_time": 2, "0": 1}</answer>', grammar).spans == (Span(1, 2),)
        assert read(f'<answer>{{"start_time": 1, "end_time": 2, {keys}}}</answer>', grammar).spans == ()


def test_the_reason_that_matters_depends_on_the_target():
    answer = read("<answer>B</answer>", STRICT)
    assert Target(choice="B").reason(answer) is None
    assert Target(spans=(Span(1, 2),)).reason(answer) == "no_pair_of_times"
    assert Target(spans=(Span(1, 2),), choice="A").reason(answer) == "no_pair_of_times"
    assert Target(spans=(Span(1, 2),), choice="A").reason(read("<answer>1 to 2</answer>", STRICT)) == "no_choice"
    assert Target().reason(answer) is None


def test_the_choice_is_the_first_letter_that_stands_alone():
    for text, letter in [
        ("Bad A", "A"),
        ("AB", None),
        ("B1", None),
        ("option C, not D", "C"),
        ("x", None),
        ("I", None),
    ]:
        assert Letter().first(text) == letter
    assert Letter("ABCD").first("E or D") == "D"


@pytest.mark.parametrize(
    "build",
    [
        lambda: Pair(()), lambda: Pair(("5",)), lambda: Pair((".",)), lambda: Pair(("",)), lambda: Pair(spacing="two"),
        lambda: Pair(pick="best"), lambda: Grammar(()), lambda: Grammar((FirstNumbers(),), block="best"),
        lambda: Grammar((FirstNumbers(),), missing="guess"), lambda: Letter("abc"),
    ],
)  # fmt: skip
def test_a_grammar_checks_itself(build):
    with pytest.raises(ValueError, match=r"must|needs"):
        build()


def test_a_grammar_may_be_built_from_lists_as_configuration_gives_them():
    grammar = Grammar([Pair(["to", "-"])])
    assert read("<answer>1 - 2</answer>", grammar).spans == (Span(1, 2),)
