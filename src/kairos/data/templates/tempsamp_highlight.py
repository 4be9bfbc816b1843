"""TempSamp-R1's templates for highlight detection (times and their saliency), without and with thinking.

The content and format of the answer are published; the wording of the question is ours. The paper asks for a saliency
from 1 to 5, but QVHighlights' ratings, with whose mean the reward compares, go from 0 (very bad) to 4 (very good): the
question asks for the scale of the data. Another wording: `text`.
"""

from __future__ import annotations

from dataclasses import dataclass

from kairos.core.answers import blocks
from kairos.core.grammar import LENIENT, Grammar
from kairos.core.types import Prompt, Target
from kairos.credit.rewards.highlight import stated
from kairos.data.templates import parts
from kairos.data.templates.grammars import timezero_format
from kairos.data.templates.timezero import SYSTEM

_ASK = (
    'Find the highlights of the video that match "[EVENT]": the timestamps (in seconds) and the saliency of each, from '
    "0 (very bad) to 4 (very good). "
)
_FORM = (
    'the result in the format "The highlight timestamps are in the 82, 84, 86 seconds. Their saliency scores are 1.3, '
    '1.7, 1.7" within the <answer> </answer> tags.'
)
_THINK = "Output your thought process within the <think> </think> tags. "


@dataclass(frozen=True)
class TempSampHighlight:
    """Task `highlight`: `<answer>The highlight timestamps are in the 82, 84 seconds. Their saliency ...</answer>`."""

    text: str = f"{_ASK}Provide {_FORM}"
    system: str = SYSTEM
    name: str = "tempsamp_highlight"

    @property
    def grammar(self) -> Grammar:
        """Only for spans, which these answers lack: the reward reads the highlights itself."""
        return LENIENT

    def messages(self, prompt: Prompt) -> list[dict[str, object]]:
        """A system turn, then video and text. ValueError for a task other than highlight."""
        text = parts.wording({"highlight": self.text}, prompt)
        return [parts.system_turn(self.system), parts.user_turn(text.replace("[EVENT]", parts.event(prompt.question)))]

    def answer(self, target: Target) -> str:
        """ValueError where the target holds no highlights."""
        if not target.highlights:
            raise ValueError("the target holds no highlights: there is no answer to write")
        marks = sorted(target.highlights)
        seconds = ", ".join(f"{second:g}" for second, _ in marks)
        scores = ", ".join(f"{score:g}" for _, score in marks)
        said = f"The highlight timestamps are in the {seconds} seconds. Their saliency scores are {scores}"
        return f"<answer>{said}</answer>"

    def well_formed(self, text: str) -> bool:
        """An answer block that holds as many scores as timestamps."""
        return any(True for _ in blocks(text)) and bool(stated(text))

    def describe(self) -> dict[str, str]:
        """The wording as plain data, to keep with a run and compare later."""
        return {"template": self.name, "system": self.system, "text": self.text, "order": "video, text"}


@dataclass(frozen=True)
class TempSampHighlightThink(TempSampHighlight):
    """With thinking before the answer."""

    text: str = f"{_ASK}{_THINK}Then, provide {_FORM}"
    name: str = "tempsamp_highlight_think"

    def answer(self, target: Target) -> str:
        return parts.thought(target) + super().answer(target)

    def well_formed(self, text: str) -> bool:
        return timezero_format(text) and super().well_formed(text)
