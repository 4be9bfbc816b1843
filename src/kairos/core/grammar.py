"""Grammars: values that say which part of a completion is the answer and how times and a letter are written in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from kairos.core.json_patterns import JsonKeys, JsonList, JsonSpans
from kairos.core.patterns import Letter, Pair, Pattern


@dataclass(frozen=True)
class Grammar:
    """How an answer is written, for `kairos.core.answers.read`."""

    patterns: tuple[Pattern, ...]
    """How times may be written. Tried in order: the first pattern that occurs is used, and no other."""
    cut_thinking: bool = False
    """Ignore all text up to the last `</think>`; a `<think>` left open is a failure."""
    block: Literal["first", "last", "only", "text"] = "last"
    """Which `<answer>` block is read. "only": there must be exactly one. "text": the whole text, tags ignored."""
    missing: Literal["fail", "text", "single"] = "fail"
    """Without a block: fail, read the whole text, or read it only if it has a single pair or begins with the letter."""
    whole: bool = False
    """The block must hold nothing but the answer: a letter, times, or both."""
    many: bool = False
    """An answer lists spans: all are read, and compared with the annotation as sets (`spans.alternatives`)."""
    turn: bool = False
    """A pair of times that is written in reverse is turned around, where it is no answer otherwise."""
    choice: Letter = field(default_factory=Letter)
    """How the letter of a choice is written."""
    answer_tag: str = "answer"
    think_tag: str = "think"
    any_case: bool = False
    """Tags count in upper and lower case."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "patterns", tuple(self.patterns))
        if not self.patterns:
            raise ValueError("a grammar needs at least one pattern")
        if self.block not in ("first", "last", "only", "text"):
            raise ValueError(f"block must be first, last, only or text, got {self.block!r}")
        if self.missing not in ("fail", "text", "single"):
            raise ValueError(f"missing must be fail, text or single, got {self.missing!r}")


STRICT = Grammar((Pair(("to",), spacing="one", any_case=False),), cut_thinking=True, block="only", whole=True)
"""One answer block that holds "3.5 to 6.0", "B" or "B 3.5 to 6.0" and nothing else."""

STRICT_LIST = Grammar(
    (Pair(("to",), spacing="one", any_case=False), JsonSpans()),
    cut_thinking=True, block="only", whole=True, many=True,
)  # fmt: skip
"""A list of spans and nothing else: "1.0 to 2.0 and 5.0 to 6.0", or with commas, or `[[1.0, 2.0], [5.0, 6.0]]`."""

_SPOKEN = Pair(("and ends at", ", ends at", ", ending at", ", end:", ", end time:"), units=True, clock=True)

LENIENT = Grammar(
    (
        Pair(("to", "and", "-", "\u2013", "\u2014", "~", "until", "till"), units=True, signs=True, clock=True),
        _SPOKEN,
        JsonKeys(embedded=True),
        JsonList(embedded=True),
        Pair((",",), units=True, clock=True),
    ),
    cut_thinking=True,
    missing="single",
    choice=Letter(any_case=True),
    any_case=True,
)
"""One span as models write it, in words, clock times or JSON."""

LENIENT_LIST = Grammar(
    (
        Pair(("to", "-", "\u2013", "\u2014", "~", "until", "till"), units=True, signs=True, clock=True),
        _SPOKEN,
        JsonKeys(embedded=True),
        JsonSpans(),
        Pair((",", "and"), units=True, clock=True),
    ),
    cut_thinking=True,
    missing="single",
    many=True,
    choice=Letter(any_case=True),
    any_case=True,
)
"""As `LENIENT`, but all spans are read. "and" separates two spans; only where no other word is found, two times."""
