"""How an answer is written, as a value: which block is read and what is looked for in it; and four shared grammars."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from kairos.core.json_patterns import JsonKeys, JsonList, JsonSpans
from kairos.core.patterns import Letter, Pair, Pattern


@dataclass(frozen=True)
class Grammar:
    """How an answer is written.

    `patterns` are tried in order; the first that occurs decides. `block`: which `<answer>` block is read ("only":
    there must be exactly one; "text": tags are not looked for). `missing`: what happens without a block: "fail",
    "text" (the whole text is read as if it were the block) or "single" (it is read when it holds exactly one pair, or
    begins with the letter). `cut_thinking`: what stands up to the last `</think>` is not read, and a `<think>` left
    open is a failure. `whole`: the block is the answer (a letter, a pair, or both) and nothing else. `many`: an answer
    lists spans, so all pairs are read, else the one that the pattern picks; it also says how several annotated spans
    are compared and written (`kairos.core.spans.alternatives`). `any_case`: tags in any case.
    """

    patterns: tuple[Pattern, ...]
    cut_thinking: bool = False
    block: Literal["first", "last", "only", "text"] = "last"
    missing: Literal["fail", "text", "single"] = "fail"
    whole: bool = False
    many: bool = False
    choice: Letter = field(default_factory=Letter)
    answer_tag: str = "answer"
    think_tag: str = "think"
    any_case: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "patterns", tuple(self.patterns))
        if not self.patterns:
            raise ValueError("a grammar needs at least one pattern")
        if self.block not in ("first", "last", "only", "text"):
            raise ValueError(f"block must be first, last, only or text, got {self.block!r}")
        if self.missing not in ("fail", "text", "single"):
            raise ValueError(f"missing must be fail, text or single, got {self.missing!r}")


STRICT = Grammar((Pair(("to",), spacing="one", any_case=False),), cut_thinking=True, block="only", whole=True)

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
"""As `LENIENT`, but all spans are read: "and" stands between two spans, or in one where nothing else does."""
