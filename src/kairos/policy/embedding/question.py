"""Cuts a question down to what a CLIP is asked: without the mark of the video, instructions and options."""

from __future__ import annotations

import re

INSTRUCTIONS = (
    "Please provide your answer by stating the letter followed by the full option.",
    "Please respond with only the letter of the correct answer.",
)
"""Sentences that LLaVA-Video-178K puts behind its questions."""
_OPTIONS = re.compile(r"\n(?:A|\(A\))")


def question_stem(text: str) -> str:
    r"""The question alone, by the rules of TSPO (arXiv 2508.04369): it ends before the first line "A..." or "(A)...".

    >>> question_stem("<image>\nWhat is seen first?\nA. a bird\nB. a car")
    'What is seen first?'
    >>> question_stem("What is seen first?")
    'What is seen first?'
    """
    text = text.replace("<image>\n", "")
    for instruction in INSTRUCTIONS:
        text = text.replace(instruction, "")
    return _OPTIONS.split(text, maxsplit=1)[0].strip()
