"""A short template that asks for the answer without thinking; the mini base was trained on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from kairos.core.grammar import STRICT, Grammar
from kairos.core.types import Prompt, Target
from kairos.data.templates import parts


@dataclass(frozen=True)
class AnswerOnly:
    """`<answer>3.5 to 6.0</answer>`, `<answer>B</answer>` or `<answer>B 3.5 to 6.0</answer>`.

    The wordings are fields: `{question}` is the stem, `{options}` its lettered lines.
    """

    grounding: str = "When do you see {question}? Write <answer>start to end</answer>."
    choice: str = "{question}\n{options}\nWrite <answer>letter</answer>."
    grounded_qa: str = "{question}\n{options}\nWrite <answer>letter start to end</answer>."
    needle: str = "{question}\n{options}\nWrite <answer>letter</answer>."
    grammar: Grammar = STRICT

    def messages(self, prompt: Prompt) -> list[dict[str, object]]:
        text = parts.wording(self._wordings(), prompt)
        filled = text.replace("{options}", parts.options_of(prompt, self.grammar.choice.letters)).replace(
            "{question}", prompt.question
        )
        return [parts.user_turn(filled)]

    def answer(self, target: Target) -> str:
        return f"<answer>{parts.written(target, self.grammar.many)}</answer>"

    def well_formed(self, text: str) -> bool:
        """One answer block and nothing else but white space."""
        text = text.strip()
        return text.startswith("<answer>") and text.endswith("</answer>") and parts.tagged_once(text, "answer")

    def describe(self) -> dict[str, str]:
        """The wording as plain data, to keep with a run and compare later."""
        return {"template": "answer", **self._wordings()}

    def _wordings(self) -> dict[str, str]:
        return {name: text for name, text in asdict(self).items() if name != "grammar"}
