"""Random and adversarial texts: the scanner finds what the released expressions find, never raises, never hangs."""

from __future__ import annotations

import math
import re
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kairos.core.answers import blocks, read
from kairos.core.grammar import LENIENT, LENIENT_LIST, STRICT, STRICT_LIST, Grammar
from kairos.core.json_patterns import JsonKeys
from kairos.core.patterns import FirstNumbers, Pair
from kairos.data.templates.grammars import (
    TEMPORAL_R1,
    TEMPSAMP_R1,
    TIMEZERO,
    temporal_r1_format,
    tempsamp_format,
    tempsamp_strict_format,
    timezero_format,
)

GRAMMARS = {
    "strict": STRICT, "lenient": LENIENT, "strict_list": STRICT_LIST, "lenient_list": LENIENT_LIST,
    "timezero": TIMEZERO, "temporal_r1": TEMPORAL_R1, "tempsamp_r1": TEMPSAMP_R1,
    "spans": Grammar(
        (Pair(signs=True, clock=True, units=True), JsonKeys(embedded=True)), many=True, whole=True, block="text"
    ),
}  # fmt: skip
FORMATS = (timezero_format, temporal_r1_format, tempsamp_format, tempsamp_strict_format)

PIECES = (
    *"0123456789.:-+,{}[]\"' \n\tabBsS_\u0663\u00b2\u2212\x1c", "to", "and", " to ", " TO ", " and ", " - ", "..",
    "1.5", "10:03", "<answer>", "</answer>", "<Answer>", "<think>", "</think>", '"start_time"', '"end_time"',
    '{"time": [', "NaN", "1e999", '{"start_time": "1.0", "end_time": "2"}', "seconds", "s", "\ud800",
    "\U0001f600", "9" * 320,
)  # fmt: skip
texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
    st.text(max_size=60),
    st.tuples(st.sampled_from(PIECES), st.integers(1, 300)).map(lambda pair: pair[0] * pair[1]),
)
short = st.lists(st.sampled_from(PIECES[:-1]), max_size=14).map("".join)  # no long digits: the expressions are slow
fast = settings(max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@settings(parent=fast, max_examples=10_000)
@given(texts)
@example("0:to0")
@example("<answer>" * 1000)
@example("<think>" * 1000)
@example("1 to " * 1000)
@example("<answer>" + "{" * 100_000 + "</answer>")
@example("<answer>" + "[1,2]," * 20_000 + "</answer>")
@example("<answer>[" + "[1,2]," * 10_000 + "[1,2]]</answer>")
@example("<answer>1 to 2" + " and 1 to 2" * 10_000 + "</answer>")
@example("<answer>1 to 2" + " " * 100_000 + "and 1 to 2</answer>")
@example('<answer>{"start_time": ' + "1" * 10_000 + ', "end_time": 2}</answer>')
def test_ten_thousand_texts_are_read_and_none_raises(text):
    for grammar in GRAMMARS.values():
        answer = read(text, grammar)
        assert bool(answer.spans) is (answer.span_reason is None)
        assert (answer.choice is None) is (answer.choice_reason is not None)
        assert all(math.isfinite(s.start) and math.isfinite(s.end) and s.start < s.end for s in answer.spans)
    for well_formed in FORMATS:
        assert well_formed(text) in (True, False)


@pytest.mark.parametrize(
    ("pattern", "expression"),
    [
        (Pair(("to", "and"), spacing="one"), re.compile(r"(\d+\.?\d*) (to|and) (\d+\.?\d*)", re.IGNORECASE)),
        (Pair(("to", "and"), any_case=False), re.compile(r"(\d+\.?\d*)\s*(to|and)\s*(\d+\.?\d*)")),
        (Pair(("-",), any_case=False), re.compile(r"(\d+\.?\d*)\s*(-)\s*(\d+\.?\d*)")),
    ],
)
def test_pairs_are_those_of_the_released_expressions(pattern, expression):
    @fast
    @given(short)
    @example("1.2.3 to 4.5.6 to 7")
    @example("1..2 to 3")
    @example("1 to 2 to 3")
    @example("5.to 6.")
    def same(text):
        expected = [(m.start(), m.end(), float(m[1]), float(m[3])) for m in expression.finditer(text)]
        assert [(found.begin, found.end, *found.span) for found in pattern.find(text)] == expected

    same()


@fast
@given(short)
@example("3.5s 4")
@example("3.s 4.. a5 6_ 7")
def test_first_numbers_are_those_of_the_released_expression(text):
    numbers = [float(number) for number in re.findall(r"\b(\d+\.?\d*)\b", text)]
    expected = [tuple(numbers[:2])] if len(numbers) > 1 else []
    assert [tuple(found.span) for found in FirstNumbers().find(text)] == expected


LIST_PIECES = (
    "1 to 2",
    "3 to 4",
    " and ",
    " and",
    "and ",
    ", ",
    "; ",
    " ",
    "\n",
    "and",
    "[[1, 2], [3, 4]]",
    "5",
    ",",
    "B ",
)


@fast
@given(st.lists(st.sampled_from(LIST_PIECES), max_size=7).map("".join))
@example("1 to 2 and 3 to 4")
@example("1 to 2, and 3 to 4")
@example("1 to 2 and and 3 to 4")
@example("51 to 2")
@example("1 to 21 to 2")
@example("1 to 2 ,;\n and \t3 to 4")
def test_the_strict_list_is_that_of_one_expression(text):
    pair = r"(\d++\.?+\d*+) to (\d++\.?+\d*+)"
    gap = r"[ \t\r\n,;]*(?:(?<=[ \t\r\n,;])and[ \t\r\n]+)?"
    whole = re.fullmatch(rf"\s*(?:[A-H]\s+)?({pair}(?:{gap}{pair})*)\s*", text)
    if whole is not None:
        pairs = tuple((float(m[1]), float(m[2])) for m in re.finditer(pair, whole[1]))
        forward = all(start < end for start, end in pairs)
        assert read(f"<answer>{text}</answer>", STRICT_LIST).spans == (pairs if forward else ())
    elif "[" not in text:
        assert read(f"<answer>{text}</answer>", STRICT_LIST).spans == ()


FORMAT_PIECES = (
    "<think>", "</think>", "<answer>", "</answer>", " ", "\n", "x", "{", "}", '"start_time"', '"end_time"', ":", ",",
    '"1.5"', "3 to 6", '<answer>{"start_time": "1", "end_time": "2.5"}</answer>',
    "<think>x</think><answer>3 to 6</answer>",
    '<answer> { "start_time" : "1.2.3" , "end_time" : "." } </answer>',
)  # fmt: skip


@fast
@given(st.lists(st.sampled_from(FORMAT_PIECES), max_size=9).map("".join))
@example("<think><answer></answer>")
@example("<think></think><answer></answer>\n")
@example("<think></think><answer></think><answer></answer>")
def test_blocks_and_formats_are_those_of_the_released_expressions(text):
    assert list(blocks(text)) == re.findall(r"<answer>(.*?)</answer>", text, re.DOTALL)
    free = re.fullmatch(r"<think>.*?</think>\s*<answer>.*?</answer>", text.strip(), re.DOTALL)
    assert timezero_format(text) is (free is not None)
    json_only = re.fullmatch(
        r'<think>.*?</think>\s*<answer>\s*{\s*"start_time"\s*:\s*"([\d.]+)"\s*,\s*"end_time"\s*:\s*"([\d.]+)"\s*}\s*</answer>',
        text,
        re.DOTALL,
    )
    assert temporal_r1_format(text) is (json_only is not None)
    found = re.findall(r"<answer>(.*?)</answer>", text, re.DOTALL)
    loose = bool(found) and re.search(r"\d+\.?\d*\s*(?:to|and|-)\s*\d+\.?\d*", found[0]) is not None
    assert tempsamp_format(text) is loose
    strict = loose and len(found) == 1 and text.rstrip().endswith("</answer>") and "\n" not in found[0]
    assert tempsamp_strict_format(text) is strict


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        " ",
        "<answer>",
        "<think>",
        "</think>",
        "1 to ",
        "1.",
        "1 ",
        "{",
        '{"a":',
        "1:",
        "[",
        "[1,2],",
        "1 to 2 and ",
    ],
)
def test_a_megabyte_of_anything_is_read_at_once(piece):
    """Quadratic time would take hours here; linear time takes well below a second a grammar."""
    text = piece * (1_000_000 // len(piece))
    begun = time.perf_counter()
    for grammar in GRAMMARS.values():
        read(text, grammar)
        read(f"<answer>{text}</answer>", grammar)
    assert time.perf_counter() - begun < 60
