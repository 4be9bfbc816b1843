"""TSPO's wording: lettered options, and an answer of one letter."""

from __future__ import annotations

import pickle

import pytest
import torch

from kairos.compose import compose, part
from kairos.core.answers import read
from kairos.core.types import Prompt, Target, VideoClip
from kairos.data.templates.tspo import LetterAlone


def prompt(options: tuple[str, ...], task: str = "choice") -> Prompt:
    return Prompt("u", task, "s", VideoClip("c", None, torch.zeros(0), 16.0), "What falls?", Target(), options)


@pytest.mark.parametrize("task", ["choice", "needle"])
def test_the_question_is_asked_as_released(task: str):
    template = part(compose(["template=tspo"]).template)
    assert isinstance(template, LetterAlone) and pickle.loads(pickle.dumps(template)) == template
    system, user = template.messages(prompt(("a hat", "a cat"), task))
    assert system["content"] == [{"type": "text", "text": "You are a helpful assistant."}]
    text = "What falls?\nA. a hat\nB. a cat\nPlease answer with the option's letter from the given choices directly."
    assert user["content"] == [{"type": "video"}, {"type": "text", "text": text}]


def test_other_tasks_and_options_beyond_the_letters_are_refused():
    with pytest.raises(ValueError, match="no wording for task 'grounding'"):
        LetterAlone().messages(prompt(("a hat",), "grounding"))
    for options in ((), tuple("abcdefghi")):
        with pytest.raises(ValueError, match=f"prompt u: {len(options)} options, but answers are read with 8 letters"):
            LetterAlone().messages(prompt(options))


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"), ("b", "B"), (" (b). ", "B"), ("B. a cat", "B"), ("The answer is (D).", "D"), ("I think B", "B"),
        ("<answer>C</answer>", "C"), ("a cat", None), ("The answer is a cat, so B", "B"), ("", None),
        ("A cat falls, so B", "A"),
    ],
)  # fmt: skip
def test_the_first_capital_that_stands_alone_is_the_answer(text: str, letter: str | None):
    assert read(text, LetterAlone().grammar).choice == letter


def test_a_right_answer_is_read_back_and_well_formed():
    template = LetterAlone()
    for letter in "AFH":
        answer = template.answer(Target(choice=letter))
        assert answer == letter and template.well_formed(answer)
        assert read(answer, template.grammar).choice == letter
    assert template.well_formed("(b)") and not template.well_formed("B it is") and not template.well_formed("")
    with pytest.raises(ValueError, match="no choice"):
        template.answer(Target())
