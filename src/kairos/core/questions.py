"""Takes the words of a question apart: the mark of the video, instructions, and the stem before the options."""

from __future__ import annotations

import re

INSTRUCTIONS = (
    "Please provide your answer by stating the letter followed by the full option.",
    "Please respond with only the letter of the correct answer.",
)
"""Sentences that LLaVA-Video-178K puts behind its questions."""
_OPTIONS = re.compile(r"\n(?:A|\(A\))")


def without_instructions(text: str) -> str:
    """The question and its options, without the mark of the video and the `INSTRUCTIONS`."""
    text = text.replace("<image>\n", "")
    for instruction in INSTRUCTIONS:
        text = text.replace(instruction, "")
    return text


def question_stem(text: str) -> str:
    r"""The question alone, by the rules of TSPO (arXiv 2508.04369): it ends before the first line "A..." or "(A)...".

    >>> question_stem("<image>\nWhat is seen first?\nA. a bird\nB. a car")
    'What is seen first?'
    >>> question_stem("What is seen first?")
    'What is seen first?'
    """
    return _OPTIONS.split(without_instructions(text), maxsplit=1)[0].strip()
