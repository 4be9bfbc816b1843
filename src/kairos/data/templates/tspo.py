"""The wording in which TSPO asks its answerer, LLaVA-Video: the options by letter, and the answer is a letter."""

from __future__ import annotations

from dataclasses import dataclass

from kairos.core.grammar import Grammar
from kairos.core.patterns import Letter, Pair
from kairos.core.types import Prompt, Target
from kairos.data.templates import parts
from kairos.data.templates.timezero import SYSTEM

GRAMMAR = Grammar((Pair(("to",)),), block="text", choice=Letter("ABCDEFGH", any_case=True))
"""The first capital A to H of the whole text that stands alone, or a text of nothing but one letter.

Departures from the released reward, which reads the first letter a to e that stands alone, in either case, after an
attempt to compare formulas: an article "a" is no option A ("A" at the beginning of a sentence still is), and options F
to H can be right. There is no option I, which would be read in "I think B".
"""


@dataclass(frozen=True)
class LetterAlone:
    """Tasks choice and needle: the question, its options as "A. red circle", one a line, and `instruction`."""

    instruction: str = "Please answer with the option's letter from the given choices directly."
    system: str = SYSTEM
    grammar: Grammar = GRAMMAR

    def messages(self, prompt: Prompt) -> list[dict[str, object]]:
        """A system turn, then video and text. ValueError for other tasks, and for no or too many options."""
        wording = parts.wording(dict.fromkeys(("choice", "needle"), self.instruction), prompt)
        letters = self.grammar.choice.letters
        if not 0 < len(prompt.options) <= len(letters):
            raise ValueError(
                f"prompt {prompt.uid}: {len(prompt.options)} options, but answers are read with {len(letters)} "
                f"letters ({letters}): give it at least one option and no more than that, or leave the row out"
            )
        lettered = [f"{letter}. {option}" for letter, option in zip(letters, prompt.options, strict=False)]
        text = "\n".join([prompt.question, *lettered, wording])
        return [parts.system_turn(self.system), parts.user_turn(text)]

    def answer(self, target: Target) -> str:
        """The letter. ValueError where the target has no choice."""
        if target.choice is None:
            raise ValueError("the target holds no choice: there is no letter to write")
        return target.choice

    def well_formed(self, text: str) -> bool:
        """One letter, in either case, and nothing else; brackets, a full stop or a colon around it do not count."""
        bare = text.strip(" \t\r\n().:").upper()
        return len(bare) == 1 and bare in self.grammar.choice.letters

    def describe(self) -> dict[str, str]:
        """The wording as plain data, to keep with a run and compare later."""
        return {"template": "tspo", "system": self.system, "text": self.instruction, "order": "video, text"}
