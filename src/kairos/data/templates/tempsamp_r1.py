"""The templates of TempSamp-R1 for grounding: the paper's two, and those of its released repository.

The paper gives neither the system turn nor the order: chosen are Qwen's usual system turn and the video first. Answers
are read as the released code does.
"""

from __future__ import annotations

from dataclasses import dataclass

from kairos.core.grammar import Grammar
from kairos.core.types import Target
from kairos.data.templates import parts
from kairos.data.templates.grammars import TEMPSAMP_R1, tempsamp_format
from kairos.data.templates.timezero import TimeZeroThink

_EVENT = 'To accurately pinpoint the event "[EVENT]" in the video, determine the precise time period of the event. '
_THINK = (
    "Output your thought process within the <think> </think> tags, including analysis with either specific timestamps "
    "(xx.xx) or time ranges (xx.xx to xx.xx) in <timestep> </timestep> tags. "
)
_TIMES = (
    "the start and end times (in seconds, precise to two decimal places) in the format "
    '"start time to end time" within {tags} tags. For example: {example}.'
)
_PAPER = _TIMES.format(tags="the <answer> </answer>", example='"12.54 to 17.83"')
_THOUGHTFUL = _TIMES.format(
    tags="<answer> </answer>", example="<think> reasoning </think><answer> 12.54 to 17.83 </answer>"
)
_REASON = (
    "First, analyze the video content and reason about when the described event happens inside <think> </think> tags. "
)
_APART = f"{_EVENT.rstrip()}\n\n"  # the released prompt with thinking has a blank line behind the event


@dataclass(frozen=True)
class TempSampThink(TimeZeroThink):
    """The paper's CoT prompt (figure 8). Well formed is a think block, then an answer block, as TimeZero's."""

    text: str = f"{_EVENT}{_THINK}Then, provide {_PAPER}"
    video_first: bool = True
    name: str = "tempsamp_think"

    @property
    def grammar(self) -> Grammar:
        return TEMPSAMP_R1


@dataclass(frozen=True)
class TempSampDirect(TempSampThink):
    """The paper's prompt without CoT (figure 8). Well formed is a pair of times in the first answer block, as released:
    the paper's own check asks for thinking, and its first phase has no format reward.
    """

    text: str = f"{_EVENT}Provide {_PAPER}"
    name: str = "tempsamp_direct"

    def answer(self, target: Target) -> str:
        return f"<answer>{parts.written(target, self.grammar.many, self.time)}</answer>"

    def well_formed(self, text: str) -> bool:
        return tempsamp_format(text)


@dataclass(frozen=True)
class TempSampReleased(TempSampDirect):
    """The released repository's prompt: no system turn, blanks around the answer.

    Training passes the sentence as it stands; evaluation collapses its white space and cuts the full stops at its
    ends, then the blanks (`cleaned`).
    """

    text: str = f"{_EVENT}Provide {_TIMES.format(tags='<answer> </answer>', example='<answer> 12.5 to 17.8 </answer>')}"
    system: str = ""
    name: str = "tempsamp_released"
    cleaned: bool = False

    def event(self, question: str) -> str:
        """The sentence as it stands, or cleaned as the released evaluation does; the case stays."""
        return parts.cleaned(question) if self.cleaned else question

    def describe(self) -> dict[str, str]:
        return {**super().describe(), **({"event": "cleaned"} if self.cleaned else {})}

    def answer(self, target: Target) -> str:
        return f"<answer> {parts.written(target, self.grammar.many, self.time)} </answer>"


@dataclass(frozen=True)
class TempSampReleasedThink(TempSampReleased):
    """The released evaluation's prompt with thinking."""

    text: str = f"{_APART}{_REASON}Then provide {_THOUGHTFUL}"
    name: str = "tempsamp_released_think"
    cleaned: bool = True

    def answer(self, target: Target) -> str:
        return parts.thought(target) + super().answer(target)
