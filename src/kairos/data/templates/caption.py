"""A template that asks for a caption, for supervised training; the mini base was trained on it."""

from __future__ import annotations

from dataclasses import dataclass

from kairos.core.grammar import STRICT, Grammar
from kairos.core.types import Prompt, Target
from kairos.data.templates import parts


@dataclass(frozen=True)
class Caption:
    """The answer is the target's `demonstration`; nothing in it is scored."""

    caption: str = "What do you see? Write every shape, start to end."
    lettered: str = "What do you see?\n{options}\nWrite every shape, letter, start to end."
    letters: str = "What do you see?\n{options}\nWrite every letter, shape, start to end."
    grammar: Grammar = STRICT

    def messages(self, prompt: Prompt) -> list[dict[str, object]]:
        text = parts.wording(self._wordings(), prompt)
        return [parts.user_turn(text.replace("{options}", parts.lettered(prompt.options)))]

    def answer(self, target: Target) -> str:
        """ValueError where the target holds no caption."""
        if target.demonstration is None:
            raise ValueError("the target holds no demonstration: there is no caption to write")
        return target.demonstration

    def well_formed(self, text: str) -> bool:
        """Any text is a caption."""
        return bool(text.strip())

    def describe(self) -> dict[str, str]:
        """The wording as plain data, to keep with a run and compare later."""
        return {"template": "caption", **self._wordings()}

    def _wordings(self) -> dict[str, str]:
        return {"caption": self.caption, "lettered": self.lettered, "letters": self.letters}
