"""The page's conditions mean what those of rollouts.py mean: both are asked about the same rows."""

from __future__ import annotations

import itertools
import json
import random

from helpers.conditions import CODE, TRUE
from helpers.node import in_node

from kairos.report.browser.chosen_rows import Chosen
from kairos.report.browser.island import island
from kairos.report.rollouts.row_fields import ConditionError
from kairos.report.rollouts.where import parse

NAN = float("nan")
ROWS = [
    {
        "iteration": 1 + number // 4, "uid": f"u{number // 4}",
        "task": ("grounding", "größe", "\U0001f600", "\uffee")[number // 4 % 4],
        "question": "when?", "row": number % 4, "origin": ("policy", "ground_truth")[number % 5 == 0],
        "text": ("", "wait, 5 to 9", "<answer>5 to 9</answer>", "it's \"B\"\\n")[number % 4], "length": number,
        "truncated": number % 3 == 0, "reward": (1.5, 0.0, -1.0, NAN, 0.1 + 0.2, 1e300)[number % 6],
        "terms": {"iou": number / 24, "a-b": 2.0, **({"late": 1.0} if number > 20 else {})}, "advantage": number - 12.0,
        "weight": (0.0, 1.0)[number % 2], "reason": (None, "no_pair")[number % 2], "spans": [[0.0, 7.7]] * (number % 3),
        "target": [[0.0, 7.7]], "choice": None, "duration": (16.0, float("inf"))[number // 4 == 1],
    }
    for number in range(24)
]  # fmt: skip
MORE = [
    "truncated == 1", "truncated < 1", "1 == 1.0", "spans == target", "spans != target", "terms == terms",
    "not terms", "text in text", "text in origin", "'' in text", "reason in text", "text not in reason",
    "task < '\uffef'", "task > 'h'", "'\U0001f600' > '\uffee'", "reward == 0.30000000000000004", "reward >= .3",
    "0x10 > length", "length < 1_0", "length == 1e1", "length >= 10. and length <= 0o20", "reward", "not reward",
    "duration > 1e9", "duration", "(((length)))", "(length) > (3)", "terms[('iou')] > .5", "terms . iou < .25",
    "terms.late", "absent", "absent.inner == null", "'a' 'b' == 'ab'", "r'\\n' in text", "'\\n' in text",
    "'''it's''' in text", "'\\x62' == 'b'", "'\\u0062\\142' == 'bb'", "'\\q' == r'\\q'", "-1 < advantage < 3",
    "- 1 == -(1)", "-True == -1", "True == 1", "length == 3 or length == 4 and not truncated",
    "not length == 3 in text", "reward != reward", "None == null", "length > 3 # and so on", "length == 0_0",
    "reason == null != true", "length in text", "text < 3", "012 == length", "0.5.1 == length",
    "length is 3", "length not 3", "from == 1", "terms.from == 1", "a.b.c", "x[0]", "true.x == null",
    "length == 1 == 1", "length <> 3", "'unclosed", "'\\x6'", "'\\N{DASH}' == 'x'", "''''a'''", "\u2002length",
    "ﬁeld == null", "length\r> 3", "length ==\\ 3", "lambda: 1", "length > 3)", "[length]", "length, weight",
    "b'a' == text", "u'wait' in text", "not not length", "not (length > 3) == false", "length == (not weight)",
    "@length", "length == $", "é == null",
]  # fmt: skip
PIECES = [
    [
        "length",
        "reward",
        "terms.iou",
        "text",
        "reason",
        "truncated",
        "weight",
        "spans",
        "3",
        "-1",
        "'a'",
        "null",
        "true",
    ],
    ["==", "!=", "<", ">=", "in", "not in"],
    ["and", "or", "and not", "or not"],
]


def made_up(count: int) -> list[str]:
    """Conditions of the grammar, most of them sensible."""
    draw = random.Random(0)
    found = []
    for _ in range(count):
        parts = [
            f"{draw.choice(PIECES[0])} {draw.choice(PIECES[1])} {draw.choice(PIECES[0])}"
            for _ in range(draw.randint(1, 4))
        ]
        if draw.random() < 0.4:
            parts[0] = f"({parts[0]} {draw.choice(PIECES[2])} {draw.choice(PIECES[0])})"
        found.append(
            " ".join(itertools.chain.from_iterable((part, draw.choice(PIECES[2])) for part in parts)).rsplit(" ", 1)[0]
        )
        found[-1] = found[-1].removesuffix(" and").removesuffix(" or")
    return found


def on_the_command_line(text: str) -> object:
    """The rows for which it holds, or why it is refused: when it is read, or at a row."""
    try:
        condition = parse(text)
    except ConditionError:
        return "unread"
    try:
        return [number for number, row in enumerate(ROWS) if condition(row)]
    except ConditionError:
        return "refused at a row"


IN_PAGE = """
    const data = readIsland(given.island);
    return given.texts.map(text => {
        let condition;
        try { condition = parseCondition(text); } catch (error) {
            if (error instanceof ConditionError) return "unread";
            throw error;
        }
        try { return data.rows.flatMap((row, at) => condition.holds(row.fields) ? [at] : []); } catch (error) {
            if (error instanceof ConditionError) return "refused at a row";
            throw error;
        }
    });
"""


def test_every_condition_holds_for_the_same_rows_in_the_page_as_on_the_command_line() -> None:
    groups = tuple(tuple(ROWS[at : at + 4]) for at in range(0, len(ROWS), 4))
    data = island({"run": Chosen(groups, 6, 24, 6)}, {})
    assert "<" not in data.text
    texts = [text for text in [*TRUE, *CODE, *MORE, *made_up(400)] if text.strip()]
    found = in_node(IN_PAGE, {"island": data.text, "texts": texts})
    expected = [on_the_command_line(text) for text in texts]
    assert isinstance(found, list) and len(found) == len(texts)
    differ = {text: (theirs, ours) for text, theirs, ours in zip(texts, expected, found, strict=True) if theirs != ours}
    assert not differ
    kinds = [type(each) for each in expected]
    assert kinds.count(list) > 200 and expected.count("unread") > 60 and expected.count("refused at a row") > 20


def test_rows_come_back_from_the_island_as_they_were_written() -> None:
    groups = tuple(tuple(ROWS[at : at + 4]) for at in range(0, len(ROWS), 4))
    data = island({"run": Chosen(groups, 6, 24, 6)}, {})
    found = in_node("return readIsland(given).rows.map(row => row.fields)", data.text)
    plain = json.loads(json.dumps(ROWS).replace("NaN", "null").replace("Infinity", "null"))  # as JSON.stringify says it
    assert found == plain
