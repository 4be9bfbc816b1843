"""The template of Temporal-R1: a system turn that asks for thinking and JSON, then the video, then the question."""

from __future__ import annotations

import json
from dataclasses import dataclass

from kairos.core.grammar import Grammar
from kairos.core.spans import to_write
from kairos.core.types import Prompt, Target
from kairos.data.templates import parts
from kairos.data.templates.grammars import TEMPORAL_R1, json_choice_format, temporal_r1_format

SYSTEM = (
    "You FIRST think about the reasoning process as an internal monologue and then provide the final answer.\n "
    "The reasoning process MUST BE enclosed within <think> </think> tags. The final answer MUST BE put in "
    "<answer> </answer> tags. Output the final answer in JSON format."
)


@dataclass(frozen=True)
class TemporalR1:
    """Grounding: `<answer>{"start_time": "3.50", "end_time": "6.00"}</answer>` behind a think block.

    [EVENT] in `grounding` is the question as it stands; "[EVENT]" alone suits its own files, whose questions are whole
    sentences. The wording is the released evaluation's. How many decimals its data has is not known: two are written.
    """

    grounding: str = 'Give the query: "[EVENT]", when does the described content occur in the video?.'
    system: str = SYSTEM
    time: str = "{:.2f}"
    name: str = "temporal_r1"

    @property
    def grammar(self) -> Grammar:
        return TEMPORAL_R1

    def messages(self, prompt: Prompt) -> list[dict[str, object]]:
        """A system turn, then video and text. ValueError for a task without a wording."""
        text = parts.wording(self._wordings(), prompt).replace(
            "[OPTIONS]", parts.options_of(prompt, self.grammar.choice.letters)
        )
        return [parts.system_turn(self.system), parts.user_turn(text.replace("[EVENT]", prompt.question.strip()))]

    def answer(self, target: Target) -> str:
        """The longest annotated span, behind a think block where the data has a written reasoning."""
        fields = {} if target.choice is None else {"answer": target.choice}
        if target.spans:
            (span,) = to_write(target.spans, many=False)  # the form holds one
            times = (self.time.format(span.start), self.time.format(span.end))
            fields |= dict(zip(("start_time", "end_time"), times, strict=True))
        if not fields:
            raise ValueError("the target holds neither a span nor a choice: there is no answer to write")
        return f"{parts.thought(target)}<answer>{json.dumps(fields)}</answer>"

    def well_formed(self, text: str) -> bool:
        """A think block, then JSON with start_time before end_time, both in quotes, and no white space around."""
        return temporal_r1_format(text)

    def describe(self) -> dict[str, str]:
        """The wording as plain data, to keep with a run and compare later."""
        wordings = {"system": self.system, **self._wordings()}
        return {"template": self.name, **wordings, "order": "video, text", "time": self.time}

    def _wordings(self) -> dict[str, str]:
        return {"grounding": self.grounding}


@dataclass(frozen=True)
class TemporalR1AllTasks(TemporalR1):
    """Grounding as above, and questions: `<answer>{"answer": "B"}</answer>`, with the times behind it where both are
    asked for. Nothing of the questions' wording and form is published; both are ours.
    """

    choice: str = '[EVENT]\n[OPTIONS]\nGive the letter, as {"answer": "..."}.'
    grounded_qa: str = (
        '[EVENT]\n[OPTIONS]\nGive the letter and when it is seen, as {"answer": "...", "start_time": "...", '
        '"end_time": "..."}.'
    )
    name: str = "temporal_r1_all_tasks"

    def well_formed(self, text: str) -> bool:
        """A think block, then JSON with a letter, times, or both."""
        return temporal_r1_format(text) or json_choice_format(text)

    def _wordings(self) -> dict[str, str]:
        return {
            "grounding": self.grounding, "choice": self.choice, "needle": self.choice, "grounded_qa": self.grounded_qa,
        }  # fmt: skip
