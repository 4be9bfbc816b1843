"""Patterns for a pair of times and for the letter of a choice in running text; each is found in linear time.

Patterns for JSON are in `kairos.core.json_patterns`.
Regular expressions here have possessive quantifiers, one character class or a repeat of two at most, so none of them
backtracks far. Groups are not possessive: before Python 3.11.5 a possessive group that fails loses its start.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol

from kairos.core.spans import Span

_CLOCK = r"\d++(?::[0-5]?\d(?!\d)){0,2}(?:\.\d*+)?"
_UNIT = r"(?:\s*+(?:seconds|second|secs|sec|s)(?![^\W_]))?"
_SIGNS = "+-\u2212"


class Found(NamedTuple):
    """`text[begin:end]` names two times, as numbers or as they are written."""

    begin: int
    end: int
    first: str | float
    second: str | float

    @property
    def span(self) -> Span:
        """In seconds; it may be reversed or not finite."""
        return Span(seconds(self.first), seconds(self.second))


class Pattern(Protocol):
    @property
    def pick(self) -> str:
        """Which match counts: "first" or "last"."""
        ...

    def find(self, text: str) -> Iterator[Found]:
        """Every match from left to right, none overlapping."""
        ...


@dataclass(frozen=True)
class Pair:
    r"""Two numbers around a separator: what `(\d+\.?\d*)SEPARATOR(\d+\.?\d*)` finds, in linear time.

    >>> [found.span for found in Pair(("to",)).find("3.5 to 6, then 7 to 8")]
    [Span(start=3.5, end=6.0), Span(start=7.0, end=8.0)]
    """

    separators: tuple[str, ...] = ("to", "and")
    spacing: Literal["one", "any"] = "any"
    """Around the separator: exactly one space on each side, or any white space or none."""
    any_case: bool = True
    units: bool = False
    """s, sec, secs, second or seconds may follow each number."""
    signs: bool = False
    """A sign before a number is read; otherwise it is ignored."""
    clock: bool = False
    """mm:ss and hh:mm:ss are read."""
    pick: Literal["first", "last"] = "last"

    def __post_init__(self) -> None:
        object.__setattr__(self, "separators", tuple(self.separators))
        if not self.separators or any(not s or s[0].isdigit() or s[0] in ".: " for s in self.separators):
            raise ValueError(f"separators must be words or signs that begin no number, got {self.separators}")
        if self.spacing not in ("one", "any"):
            raise ValueError(f'spacing must be "one" or "any", got {self.spacing!r}')
        _check_pick(self.pick)

    def find(self, text: str) -> Iterator[Found]:
        here, ahead = _compile(self)
        position = 0
        while match := here.match(text, position) or ahead.search(text, position):
            number = _last_number(match[1], self.clock)
            if number:
                begin = match.end(1) - len(number)
                if self.signs and begin > position and _signed(text, begin):
                    begin, number = begin - 1, text[begin - 1] + number
                position = match.end()
                yield Found(begin, position, number, match[2] + match[3])
            else:
                position = match.end(1)


@dataclass(frozen=True)
class FirstNumbers:
    r"""The first two numbers of the text, as `\b(\d+\.?\d*)\b` finds them (so "3.5s" is 3); nothing when fewer."""

    pick: Literal["first", "last"] = "first"

    def find(self, text: str) -> Iterator[Found]:
        numbers = _BOUNDED.finditer(text)
        first, second = next(numbers, None), next(numbers, None)
        if first and second:
            yield Found(first.start(), second.end(), first[0], second[0])


@dataclass(frozen=True)
class Letter:
    """The letter of a choice: the first capital of `letters` that stands alone, so "(B)" and "B. red circle" are B.

    With `any_case` a text of nothing but one small letter (brackets, full stop and colon aside) counts too.
    """

    letters: str = "ABCDEFGH"
    any_case: bool = False

    def __post_init__(self) -> None:
        if not self.letters or not (self.letters.isascii() and self.letters.isalpha() and self.letters.isupper()):
            raise ValueError(f"letters must be capitals such as ABCD, got {self.letters!r}")

    def first(self, text: str) -> str | None:
        if alone := re.search(rf"(?<!\w)[{self.letters}](?!\w)", text):
            return alone[0]
        bare = text.strip(" \t\r\n().:").upper() if self.any_case else ""
        return bare if len(bare) == 1 and bare in self.letters else None

    def spelled(self, letter: str) -> str:
        """How the letter is written in an answer."""
        return letter

    def leading(self, text: str) -> str | None:
        """The letter that a text without an answer block begins with: "B", "(B) ...", "B. ..." or "B 3.5 to 6.0"."""
        begun = re.match(rf"\s*+\(?+([{self.letters}])(?=[).:,]|\s*+(?:\d|\Z))", text)
        return begun[1] if begun else None


def seconds(number: str | float) -> float:
    """The seconds that 3.5, "3.5", "-3.5", "0:03.5" or "1:02:03" means; infinite on overflow."""
    if not isinstance(number, str) or ":" not in number:
        return float(number.replace("\u2212", "-")) if isinstance(number, str) else number
    total = 0.0
    for part in number.lstrip(_SIGNS).split(":"):
        total = total * 60.0 + float(part)
    return -total if number[0] in "-\u2212" else total


def _check_pick(pick: str) -> None:
    if pick not in ("first", "last"):
        raise ValueError(f'pick must be "first" or "last", got {pick!r}')


@lru_cache(maxsize=256)
def _compile(pair: Pair) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Two patterns of (characters of a number) separator (sign) (number): one to match here, one to search ahead.

    The look-behind tries each run of such characters once, at its first character, so the search is linear.
    """
    run = r"[\d.:]" if pair.clock else r"[\d.]"
    number = _CLOCK if pair.clock else r"\d++\.?+\d*+"
    unit = _UNIT if pair.units else ""
    space = " " if pair.spacing == "one" else r"\s*+"
    words = "|".join(re.escape(separator) for separator in pair.separators)
    sign = rf"([{re.escape(_SIGNS)}]?+)" if pair.signs else "()"
    body = f"({run}++){unit}{space}(?:{words}){space}{sign}({number}){unit}"
    flags = re.IGNORECASE if pair.any_case else 0
    return re.compile(body, flags), re.compile(f"(?<!{run}){body}", flags)


def _last_number(run: str, clock: bool) -> str:
    r"""The longest `\d+\.?\d*` at the end of the run, "" if there is none; a clock time is whole or nothing."""
    if clock:
        run = run.lstrip(".:")
        return run if _CLOCK_ONLY.fullmatch(run) else ""
    parts = run.rsplit(".", 2)
    if len(parts) == 1:
        return run
    whole, fraction = parts[-2:]
    return f"{whole}.{fraction}" if whole else fraction


def _signed(text: str, begin: int) -> bool:
    """Whether a sign stands before the number at `begin`, and no letter or digit directly before the sign."""
    return text[begin - 1] in _SIGNS and not text[max(0, begin - 2) : begin - 1].isalnum()


_CLOCK_ONLY = re.compile(_CLOCK)
_BOUNDED = re.compile(r"\b\d++(?:\.(?:\d++\b|(?=\w))|\b)")
