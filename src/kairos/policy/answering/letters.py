"""The letters of a prompt's options as tokens, to score them in one pass instead of writing an answer."""

from __future__ import annotations

from dataclasses import dataclass

from kairos.core.types import Prompt, Target
from kairos.policy.processor import LanguageProcessor


@dataclass(frozen=True)
class Letters:
    """How an answer of one letter is written."""

    texts: tuple[str, ...]
    """The whole answer for each option, such as "<answer>B</answer>"."""
    prefix: tuple[int, ...]
    """The tokens that all answers begin with."""
    tokens: tuple[int, ...]
    """The next token of each answer, which tells the letters apart."""


def asks_letters(prompt: Prompt) -> bool:
    """Whether an answer is one letter: the prompt has options, and no times are asked for."""
    return bool(prompt.options) and not prompt.target.spans


def letters_of(prompt: Prompt, processor: LanguageProcessor) -> Letters:
    """ValueError for a prompt without options or template, more options than letters, letters without own tokens."""
    if not prompt.options:
        raise ValueError(f"prompt {prompt.uid} has no options to score; set answerer.mode=generate, or null")
    if prompt.template is None:
        raise ValueError(f"prompt {prompt.uid} has no template, so nothing says how its answers are written")
    known = prompt.template.grammar.choice.letters
    if len(prompt.options) > len(known):
        raise ValueError(
            f"prompt {prompt.uid} has {len(prompt.options)} options, but answers are read with {len(known)} letters "
            f"({known}): give it fewer options, or the template's grammar more letters"
        )
    texts = [prompt.template.answer(Target(choice=letter)) for letter in known[: len(prompt.options)]]
    ids = [[*processor.encode(text), processor.end] for text in texts]
    shared = 0
    while len({tuple(one[: shared + 1]) for one in ids}) == 1 and shared + 1 < min(map(len, ids)):
        shared += 1
    tokens = tuple(one[shared] for one in ids)
    if len(set(tokens)) < len(tokens):
        raise ValueError(
            f"prompt {prompt.uid}: the tokenizer {processor.tokenizer} writes {texts} with the tokens {tokens} behind "
            "their common beginning, which do not tell the letters apart; set answerer.mode=generate"
        )
    return Letters(tuple(texts), tuple(ids[0][:shared]), tokens)
