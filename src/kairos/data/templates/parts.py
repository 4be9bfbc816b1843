"""Functions that templates share: chat turns, lettered options, written answers, and a check of the tags."""

from __future__ import annotations

from collections.abc import Sequence

from kairos.core.spans import to_write
from kairos.core.spelling import close, did_you_mean
from kairos.core.types import Prompt, Target

ALL_TASKS = ("template=answer", "template=think", "template=temporal_r1_all_tasks")
"""Options of the config group `template` with a wording for every task that readers give."""


def user_turn(text: str, video_first: bool = True) -> dict[str, object]:
    """A user turn with the clip and a text."""
    video, words = {"type": "video"}, {"type": "text", "text": text}
    return {"role": "user", "content": [video, words] if video_first else [words, video]}


def system_turn(text: str) -> dict[str, object]:
    return {"role": "system", "content": [{"type": "text", "text": text}]}


def lettered(options: Sequence[str]) -> str:
    """One line an option.

    >>> print(lettered(("red circle", "blue star")))
    (A) red circle
    (B) blue star
    """
    return "\n".join(f"({letter}) {option}" for letter, option in zip("ABCDEFGHIJ", options, strict=False))


def options_of(prompt: Prompt, letters: str) -> str:
    """The prompt's options, one a line. ValueError for more options than `letters`, with which answers are read."""
    if len(prompt.options) > len(letters):
        raise ValueError(
            f"prompt {prompt.uid}: {len(prompt.options)} options, but answers are read with {len(letters)} letters "
            f"({letters}): give it fewer options, or leave the row out"
        )
    return lettered(prompt.options)


def event(question: str) -> str:
    """A caption as the papers put it into their prompts: lower case, stripped, one trailing full stop removed."""
    return question.lower().strip().removesuffix(".")


def written(target: Target, many: bool, time: str = "{:.1f}") -> str:
    """The content of a right answer: the letter, the annotated span, or both, e.g. "B 3.5 to 6.0".

    Of several spans the longest, or all if the grammar lists spans (`many`): "3.5 to 6.0 and 8.0 to 9.5".
    """
    parts = [] if target.choice is None else [target.choice]
    if target.spans:
        spans = to_write(target.spans, many)
        parts.append(" and ".join(f"{time.format(span.start)} to {time.format(span.end)}" for span in spans))
    if not parts:
        raise ValueError("the target holds neither a span nor a choice: there is no answer to write")
    return " ".join(parts)


def thought(target: Target) -> str:
    """The think block of a target; empty if the data has no written reasoning, as in the papers' annotations."""
    return "" if target.demonstration is None else f"<think>{target.demonstration}</think>"


class NoWording(ValueError):
    """A template that does not ask for what a prompt's task wants."""


def wording(wordings: dict[str, str], prompt: Prompt) -> str:
    """The wording for the prompt's task; NoWording names the known tasks and templates with more of them."""
    if prompt.task not in wordings:
        likely = did_you_mean(close(prompt.task, wordings))
        raise NoWording(
            f"prompt {prompt.uid}: the template has no wording for task {prompt.task!r}, only for "
            f"{', '.join(wordings)}; {likely + ' ' if likely else ''}{', '.join(ALL_TASKS)} have one for grounding, "
            "choice, grounded_qa and needle"
        )
    return wordings[prompt.task]


def cleaned(question: str) -> str:
    """A sentence on one line without full stops around it, as released evaluations ask for it."""
    return " ".join(question.split()).strip(".").strip()


def tagged_once(text: str, *tags: str) -> bool:
    """Whether every tag is opened and closed exactly once."""
    return all(text.count(f"<{tag}>") == 1 == text.count(f"</{tag}>") for tag in tags)
