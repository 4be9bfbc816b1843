"""A template that reads answers with the lenient grammar instead of its own."""

from __future__ import annotations

from dataclasses import dataclass

from kairos.core.grammar import LENIENT, LENIENT_LIST, Grammar
from kairos.core.types import Prompt, Target, Template


@dataclass(frozen=True)
class Reread:
    """Words, writes and checks the format as `template` does, but reads answers with `LENIENT` (or `LENIENT_LIST`)."""

    template: Template

    @property
    def grammar(self) -> Grammar:
        return LENIENT_LIST if self.template.grammar.many else LENIENT

    def messages(self, prompt: Prompt) -> list[dict[str, object]]:
        return self.template.messages(prompt)

    def answer(self, target: Target) -> str:
        return self.template.answer(target)

    def well_formed(self, text: str) -> bool:
        return self.template.well_formed(text)
