"""A template whose answers are read through another grammar."""

from __future__ import annotations

from dataclasses import dataclass

from kairos.core.answers import LENIENT, Grammar
from kairos.core.types import Prompt, Target, Template


@dataclass(frozen=True)
class Reread:
    """Asks, writes and judges the form as `template` does, but reads through `grammar`: by default the lenient one."""

    template: Template
    grammar: Grammar = LENIENT

    def messages(self, prompt: Prompt) -> list[dict[str, object]]:
        return self.template.messages(prompt)

    def answer(self, target: Target) -> str:
        return self.template.answer(target)

    def well_formed(self, text: str) -> bool:
        return self.template.well_formed(text)
