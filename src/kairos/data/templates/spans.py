"""Templates that ask for every interval in which an event happens; the answer is a list of spans."""

from __future__ import annotations

from dataclasses import dataclass

from kairos.core.grammar import STRICT_LIST, Grammar
from kairos.data.templates.timezero import TimeZeroDirect, TimeZeroThink

_ASK = 'Find every time interval of the video in which the event "[EVENT]" happens. '
_THINK = "Output your thought process within the <think> </think> tags. Then, provide "
_FORM = (
    "the start and end times of all intervals (in seconds, precise to two decimal places), in order of time, within "
    'the <answer> </answer> tags. For example: "<answer>12.54 to 17.83 and 24.00 to 31.25</answer>".'
)


@dataclass(frozen=True)
class AllSpans(TimeZeroDirect):
    """`<answer>3.50 to 6.00 and 8.00 to 9.50</answer>`; `[[3.5, 6.0], [8.0, 9.5]]` in the block is read as well.

    The grammar lists spans: rewards, metrics and floors compare answer and annotation as sets, and an injected answer
    states all annotated spans. The wording is ours.
    """

    text: str = f"{_ASK}Provide {_FORM}"
    video_first: bool = True
    time: str = "{:.2f}"
    name: str = "spans"

    @property
    def grammar(self) -> Grammar:
        return STRICT_LIST


@dataclass(frozen=True)
class AllSpansThink(TimeZeroThink):
    """`AllSpans` after a think block."""

    text: str = f"{_ASK}{_THINK}{_FORM}"
    video_first: bool = True
    name: str = "spans_think"

    @property
    def grammar(self) -> Grammar:
        return STRICT_LIST
