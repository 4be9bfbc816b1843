"""A template that asks the question as it stands, for wordings that other programs have written already."""

from __future__ import annotations

from dataclasses import dataclass

from kairos.core.grammar import LENIENT, Grammar
from kairos.core.types import Prompt, Target
from kairos.data.templates import parts


@dataclass(frozen=True)
class Verbatim:
    """The video, then the question without a word of ours, whatever the task. Answers are read leniently."""

    video_first: bool = True
    """False: the question, then the video."""
    grammar: Grammar = LENIENT

    def messages(self, prompt: Prompt) -> list[dict[str, object]]:
        return [parts.user_turn(prompt.question, self.video_first)]

    def answer(self, target: Target) -> str:
        return parts.written(target, self.grammar.many)

    def well_formed(self, text: str) -> bool:
        """Every text: nothing was asked for."""
        del text
        return True

    def describe(self) -> dict[str, str]:
        """The wording as plain data, to keep with a run and compare later."""
        return {"template": "verbatim", "order": "video, text" if self.video_first else "text, video"}
