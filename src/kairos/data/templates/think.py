"""A short template that asks to think before answering; the mini base was trained on it."""

from __future__ import annotations

from dataclasses import dataclass

from kairos.core.types import Target
from kairos.data.templates import parts
from kairos.data.templates.answer import AnswerOnly
from kairos.data.templates.grammars import timezero_format

_THINK = "Write <think>reason</think>"


@dataclass(frozen=True)
class Think(AnswerOnly):
    """`<think>red circle 3.5 to 6.0</think><answer>...</answer>`, the answer as in `AnswerOnly`."""

    grounding: str = f"When do you see {{question}}? {_THINK}<answer>start to end</answer>."
    choice: str = f"{{question}}\n{{options}}\n{_THINK}<answer>letter</answer>."
    grounded_qa: str = f"{{question}}\n{{options}}\n{_THINK}<answer>letter start to end</answer>."
    needle: str = f"{{question}}\n{{options}}\n{_THINK}<answer>letter</answer>."

    def answer(self, target: Target) -> str:
        """Without a think block if the data has no written reasoning."""
        return f"{parts.thought(target)}<answer>{parts.written(target, self.grammar.many)}</answer>"

    def well_formed(self, text: str) -> bool:
        """One think block, then one answer block, and nothing else but white space."""
        return timezero_format(text) and parts.tagged_once(text, "think", "answer")

    def describe(self) -> dict[str, str]:
        return {**super().describe(), "template": "think"}
