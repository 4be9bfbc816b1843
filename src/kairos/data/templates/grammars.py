"""Grammars and format checks that reproduce how the papers' released code reads and judges an answer.

Every function takes linear time on any text. Written from descriptions of the released behaviour; TempSamp-R1's are
those of its `timelens` reward.
"""

from __future__ import annotations

import re

from kairos.core.answers import blocks
from kairos.core.grammar import Grammar
from kairos.core.json_patterns import JsonKeys
from kairos.core.patterns import FirstNumbers, Pair

TIMEZERO = Grammar((Pair(("to", "and"), spacing="one", any_case=True, pick="last"),), block="last")
"""TimeZero, Time-R1: in the last block the last `(\\d+\\.?\\d*) (to|and) (\\d+\\.?\\d*)`; thinking is not cut."""

TEMPORAL_R1 = Grammar((JsonKeys("start_time", "end_time", unquoted=True),), block="first")
"""Temporal-R1: the first block is a JSON object of start_time and end_time; numbers need no quotes."""

TEMPSAMP_R1 = Grammar(
    (Pair(("to", "and"), any_case=False), Pair(("-",), any_case=False), FirstNumbers()), block="first", missing="text"
)
"""TempSamp-R1: the first block, else the whole text; last "a to b" or "a and b", last "a - b", first two numbers."""

_TURN = re.compile(r"</think>\s*+<answer>")
_JSON_ANSWER = re.compile(
    r'<answer>\s*+\{\s*+"start_time"\s*+:\s*+"[\d.]++"\s*+,\s*+"end_time"\s*+:\s*+"[\d.]++"\s*+\}\s*+</answer>'
)
_TIMES = r'"start_time"\s*+:\s*+"[\d.]++"\s*+,\s*+"end_time"\s*+:\s*+"[\d.]++"'
_LETTER = r'"answer"\s*+:\s*+"[A-Z]"'
_JSON_CHOICE = re.compile(rf"<answer>\s*+\{{\s*+{_LETTER}\s*+(?:,\s*+{_TIMES}\s*+)?\}}\s*+</answer>")
_LOOSE = Pair(("to", "and", "-"), any_case=False)


def timezero_format(text: str) -> bool:
    """Whether the stripped text is `<think>.*?</think>\\s*<answer>.*?</answer>`; it need not hold numbers."""
    text = text.strip()
    if not (text.startswith("<think>") and text.endswith("</answer>")):
        return False
    return _TURN.search(text, len("<think>"), len(text) - len("</answer>")) is not None


def temporal_r1_format(text: str) -> bool:
    """Whether the text, not stripped, is a think block and a JSON answer: start_time first, both times in quotes."""
    return _thought_then(_JSON_ANSWER, text)


def json_choice_format(text: str) -> bool:
    """As `temporal_r1_format` with a letter under "answer", alone or before the times; our own, nothing is released."""
    return _thought_then(_JSON_CHOICE, text)


def tempsamp_format(text: str) -> bool:
    """The loose (default) check: the first answer block holds two numbers around "to", "and" or "-"."""
    first = next(blocks(text), None)
    return first is not None and any(True for _ in _LOOSE.find(first))


def tempsamp_strict_format(text: str) -> bool:
    """The strict check: exactly one answer block, at the end but for white space, that holds a pair of numbers and no
    line break (neither line feed nor carriage return).
    """
    text = text.rstrip()
    found = list(blocks(text))
    in_line = len(found) == 1 and not {"\n", "\r"} & set(found[0])
    return in_line and text.endswith("</answer>") and tempsamp_format(text)


def _thought_then(answer: re.Pattern[str], text: str) -> bool:
    begun = text.rfind("<answer>")
    if begun < 0 or not text.startswith("<think>") or not answer.fullmatch(text, begun):
        return False
    return text[len("<think>") : begun].rstrip().endswith("</think>")
