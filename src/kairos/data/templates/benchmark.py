"""Asks in the words of a benchmark or a harness: one value holds a wording for each task; answers are read by ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kairos.core.answers import read
from kairos.core.grammar import LENIENT, Grammar
from kairos.core.spans import to_write
from kairos.core.types import Prompt, Target
from kairos.data.templates import parts

_EVENTS = ("as is", "collapsed", "cleaned")


@dataclass(frozen=True)
class BenchmarkWording:
    """`wordings` by task: [EVENT] is the caption or the question, [OPTIONS] its options, one a line as `option` says.

    A right answer is written as `span` says, a letter as it is. Words that a harness puts before the model's answer
    ("Best option: (") are left out: an answer begins after the prompt.
    """

    wordings: Mapping[str, str]
    name: str
    option: str = "{letter}. {text}"
    """A line of [OPTIONS], with {letter} and {text}."""
    span: str = "{start:.1f} - {end:.1f}"
    """A written span, with {start} and {end} in seconds; several are joined by commas. "[..." stands in a JSON list."""
    system: str = ""
    """Empty: no system turn."""
    video_first: bool = True
    event: Literal["as is", "collapsed", "cleaned"] = "as is"
    """Of a caption: as annotated; white space collapsed; and full stops around it cut too."""
    grammar: Grammar = field(default_factory=lambda: LENIENT)

    def __post_init__(self) -> None:
        if not self.wordings or any("[EVENT]" not in text for text in self.wordings.values()):
            raise ValueError(f"every text of template.wordings ({self.name}) must hold [EVENT], the question's place")
        if self.event not in _EVENTS:
            raise ValueError(f"template.event must be one of {', '.join(_EVENTS)}, got {self.event!r}")

    def messages(self, prompt: Prompt) -> list[dict[str, object]]:
        """A system turn if there is one, then the user's. NoWording for a task without a wording."""
        text = parts.wording({**self.wordings}, prompt)
        letters = self.grammar.choice.letters
        parts.options_of(prompt, letters)  # refuses more options than letters
        lines = [
            self.option.format(letter=letter, text=option)
            for letter, option in zip(letters, prompt.options, strict=False)
        ]
        text = text.replace("[OPTIONS]", "\n".join(lines)).replace("[EVENT]", self._event(prompt.question))
        user = parts.user_turn(text, self.video_first)
        return [parts.system_turn(self.system), user] if self.system else [user]

    def _event(self, question: str) -> str:
        if self.event == "cleaned":
            return parts.cleaned(question)
        return question if self.event == "as is" else " ".join(question.split())

    def answer(self, target: Target) -> str:
        """The letter, or the spans: the longest one, or all if the grammar lists spans. ValueError without either."""
        said = [] if target.choice is None else [self.grammar.choice.spelled(target.choice)]
        if target.spans:
            spans = to_write(target.spans, self.grammar.many)
            written = ", ".join(self.span.format(start=span.start, end=span.end) for span in spans)
            said.append(f"[{written}]" if self.span.startswith("[") else written)
        if not said:
            raise ValueError("the target holds neither a span nor a choice: there is no answer to write")
        return " ".join(said)

    def well_formed(self, text: str) -> bool:
        """A span or a letter can be read."""
        answer = read(text, self.grammar)
        return bool(answer.spans) or answer.choice is not None

    def describe(self) -> dict[str, str]:
        """The wording as plain data, to keep with a run and compare later."""
        order = "video, text" if self.video_first else "text, video"
        return {"template": self.name, "system": self.system, **self.wordings, "order": order, "option": self.option}
