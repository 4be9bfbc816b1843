"""The templates of TimeZero and Time-R1 (temporal grounding only), as in their released training code.

The text precedes the video. Neither code gives a system turn, so Qwen2.5-VL's chat template inserts its default one; it
is written out here, because newer chat templates insert none.
"""

from __future__ import annotations

from dataclasses import dataclass

from kairos.core.grammar import Grammar
from kairos.core.types import Prompt, Target
from kairos.data.templates import parts
from kairos.data.templates.grammars import TIMEZERO, timezero_format

SYSTEM = "You are a helpful assistant."
_TASK = (
    'To accurately pinpoint the event "[EVENT]" in the video, determine the precise time period of the event.\n\n'
    "{thinking}"
    "{then} the start and end times (in seconds, precise to two decimal places) in the format "
    '"start time to end time" within the <answer> </answer> tags. For example: "12.54 to 17.83".'
)
_THINKING = (
    "Output your thought process within the <think> </think> tags, including analysis with either {times} tags.\n\n"
)
_STAMPS = "specific timestamps (xx.xx) or time ranges (xx.xx to xx.xx) in <timestep> </timestep>"
_RANGES = "specific time ranges (xx.xx to xx.xx) in <timestep> </timestep>"


def _thinking(times: str) -> str:
    return _TASK.format(thinking=_THINKING.format(times=times), then="Then, provide")


@dataclass(frozen=True)
class TimeZeroThink:
    """TimeZero's prompt for RL. `text` holds [EVENT]; an answer has two decimals, as the prompt asks for.

    An empty `system` is no system turn.
    """

    text: str = _thinking(_STAMPS)
    system: str = SYSTEM
    video_first: bool = False
    time: str = "{:.2f}"
    name: str = "timezero_think"

    def __post_init__(self) -> None:
        if "[EVENT]" not in self.text:
            raise ValueError(f"template.text of {self.name} must hold [EVENT], where the caption goes")

    @property
    def grammar(self) -> Grammar:
        return TIMEZERO

    def messages(self, prompt: Prompt) -> list[dict[str, object]]:
        """A system turn, then text and video. ValueError for a task other than grounding."""
        text = parts.wording({"grounding": self.text}, prompt)
        user = parts.user_turn(text.replace("[EVENT]", self.event(prompt.question)), self.video_first)
        return [parts.system_turn(self.system), user] if self.system else [user]

    def event(self, question: str) -> str:
        """The caption as it stands in the prompt."""
        return parts.event(question)

    def answer(self, target: Target) -> str:
        """Without a think block where the data has no written reasoning."""
        return f"{parts.thought(target)}<answer>{parts.written(target, self.grammar.many, self.time)}</answer>"

    def well_formed(self, text: str) -> bool:
        """A think block and an answer block, nothing before, between or behind; the answer need not hold numbers."""
        return timezero_format(text)

    def describe(self) -> dict[str, str]:
        """The wording as plain data, to keep with a run and compare later."""
        order = "video, text" if self.video_first else "text, video"
        return {"template": self.name, "system": self.system, "text": self.text, "order": order, "time": self.time}


@dataclass(frozen=True)
class TimeR1Think(TimeZeroThink):
    """Time-R1's v1: as TimeZero's, but asks for time ranges only."""

    text: str = _thinking(_RANGES)
    name: str = "time_r1_think"


@dataclass(frozen=True)
class TimeZeroDirect(TimeZeroThink):
    """TimeZero's prompt for supervised learning, and Time-R1's v2: no thinking; times as annotated."""

    text: str = _TASK.format(thinking="", then="Provide")
    time: str = "{}"
    name: str = "timezero_direct"

    def answer(self, target: Target) -> str:
        return f"<answer>{parts.written(target, self.grammar.many, self.time)}</answer>"

    def well_formed(self, text: str) -> bool:
        """One answer block and nothing else: the released format check asks for thinking, so it cannot judge these."""
        text = text.strip()
        return text.startswith("<answer>") and text.endswith("</answer>") and parts.tagged_once(text, "answer")
