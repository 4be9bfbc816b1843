"""Reads the spans and the choice that a completion states, as a `Grammar` says, or the reason why it states none.

`read` takes linear time on any text and never raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

from kairos.core.grammar import Grammar
from kairos.core.patterns import Found
from kairos.core.spans import Span

UNCLOSED_THINK = "unclosed_think"
NO_BLOCK = "no_answer_block"
SEVERAL_BLOCKS = "several_answer_blocks"
NO_PAIR = "no_pair_of_times"
SEVERAL_PAIRS = "several_pairs_of_times"
REVERSED = "reversed_span"
EMPTY = "empty_span"
NOT_FINITE = "not_finite"
NO_CHOICE = "no_choice"
EXTRA = "more_than_the_answer"
REASONS = (
    UNCLOSED_THINK, NO_BLOCK, SEVERAL_BLOCKS, NO_PAIR, SEVERAL_PAIRS, REVERSED, EMPTY, NOT_FINITE, NO_CHOICE, EXTRA
)  # fmt: skip
"""Every reason that `read` can give for an answer that it could not read."""


@dataclass(frozen=True)
class Answer:
    """What a completion says."""

    spans: tuple[Span, ...]
    """Proper spans in seconds, in the order written; empty where `span_reason` says why."""
    choice: str | None
    """The letter of the stated option."""
    span_reason: str | None
    """One of `REASONS`; None where spans were read."""
    choice_reason: str | None
    """One of `REASONS`; None where a choice was read."""


def read(text: str, grammar: Grammar) -> Answer:
    """The spans and the choice that `text` states.

    >>> from kairos.core.grammar import LENIENT, STRICT
    >>> read("<think>hm</think><answer>B 3.5 to 6.0</answer>", STRICT)
    Answer(spans=(Span(start=3.5, end=6.0),), choice='B', span_reason=None, choice_reason=None)
    >>> read("<think>It is 3 to 6", LENIENT).span_reason
    'unclosed_think'
    """
    if grammar.cut_thinking:
        text = _after(text, grammar.think_tag, grammar.any_case)
        if _tag(grammar.think_tag, grammar.any_case).search(text):
            return _failure(UNCLOSED_THINK)
    if grammar.block != "text":
        found, count = _block(text, grammar)
        if count > 1 and grammar.block == "only":
            return _failure(SEVERAL_BLOCKS)
        if found is None and grammar.missing == "fail":
            return _failure(NO_BLOCK)
        if found is None and grammar.missing == "single":
            return _read_untagged(text, grammar)
        text = text if found is None else found
    return _read_whole(text, grammar) if grammar.whole else _read_part(text, grammar)


def blocks(text: str, tag: str = "answer", any_case: bool = False) -> Iterator[str]:
    """Contents of the blocks that `<tag>(.*?)</tag>` finds from left to right."""
    opening, closing = _tag(tag, any_case), _tag("/" + tag, any_case)
    position = 0
    while (begun := opening.search(text, position)) and (ended := closing.search(text, begun.end())):
        yield text[begun.end() : ended.start()]
        position = ended.end()


def _block(text: str, grammar: Grammar) -> tuple[str | None, int]:
    """The answer block to read, None where there is none, and how many blocks were examined (at least 1)."""
    contents = blocks(text, grammar.answer_tag, grammar.any_case)
    content, count = next(contents, None), 1
    if grammar.block != "first":
        for later in islice(contents, 1 if grammar.block == "only" else None):
            content, count = later, count + 1
    return content, count


def _read_part(text: str, grammar: Grammar) -> Answer:
    spans, reason = _spans(_chosen(text, grammar), grammar)
    choice = grammar.choice.first(text)
    return Answer(spans, choice, reason, None if choice else NO_CHOICE)


def _read_untagged(text: str, grammar: Grammar) -> Answer:
    """Reads a text without an answer block: a single pair of times, and a letter that the text begins with."""
    spans, reason = (), NO_BLOCK
    for pattern in grammar.patterns:
        if found := list(islice(pattern.find(text), None if grammar.many else 2)):
            several = len(found) > 1 and not grammar.many
            spans, reason = ((), SEVERAL_PAIRS) if several else _spans(found, grammar)
            break
    choice = grammar.choice.leading(text)
    return Answer(spans, choice, reason, None if choice else NO_BLOCK)


def _read_whole(text: str, grammar: Grammar) -> Answer:
    """Reads a block that holds only a letter, a pair of times (or several, joined by commas or "and"), or both."""
    found = _chosen(text, grammar)
    before = text[: found[0].begin] if found else text
    between = [text[left.end : right.begin] for left, right in pairwise(found)]
    after = text[found[-1].end :] if found else ""
    letter = before.strip()
    apart = not letter or not found or before[-1:].isspace()
    alone = not letter or (len(letter) == 1 and letter in grammar.choice.letters)
    if after.strip() or not all(_BETWEEN.fullmatch(gap) for gap in between) or not apart or not alone:
        return _failure(EXTRA)
    spans, reason = _spans(found, grammar)
    return Answer(spans, letter or None, reason, None if letter else NO_CHOICE)


def _chosen(text: str, grammar: Grammar) -> list[Found]:
    """The matches of the first pattern that occurs: all of them where the grammar lists spans, else the picked one."""
    for pattern in grammar.patterns:
        pairs = pattern.find(text)
        chosen = next(pairs, None)
        if chosen is None:
            continue
        if grammar.many:
            return [chosen, *pairs]
        if pattern.pick == "last":
            for later in pairs:
                chosen = later
        return [chosen]
    return []


def _spans(found: list[Found], grammar: Grammar) -> tuple[tuple[Span, ...], str | None]:
    spans = tuple(Span(*sorted(item.span)) if grammar.turn else item.span for item in found)
    for span in spans:
        if not span.proper:
            finite = abs(span.start) < float("inf") and abs(span.end) < float("inf")
            return (), NOT_FINITE if not finite else EMPTY if span.start == span.end else REVERSED
    return spans, None if spans else NO_PAIR


_BETWEEN = re.compile(r"[ \t\r\n,;]*+(?:(?<=[ \t\r\n,;])and[ \t\r\n]++)?")


def _failure(reason: str) -> Answer:
    return Answer((), None, reason, reason)


def _after(text: str, tag: str, any_case: bool) -> str:
    """What follows the last closing tag; all of the text when there is none."""
    end = 0
    for closing in _tag("/" + tag, any_case).finditer(text):
        end = closing.end()
    return text[end:]


def _tag(name: str, any_case: bool) -> re.Pattern[str]:
    return re.compile(f"<{re.escape(name)}>", re.ASCII | (re.IGNORECASE if any_case else 0))
