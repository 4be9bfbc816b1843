"""The stem of a question: what a CLIP is asked."""

from __future__ import annotations

import pytest

from kairos.core.questions import INSTRUCTIONS, question_stem

STEM = "What is the scene at the beginning of the video?"


@pytest.mark.parametrize(
    "text",
    [
        STEM,
        f"<image>\n{STEM}",
        f"<image>\n{STEM}\nA. Windswept sandy shore\nB. A forest",
        f"{STEM}\n(A) Windswept sandy shore\n(B) A forest",
        *(f"<image>\n{STEM}\nA. a shore\nB. a forest\n{instruction}" for instruction in INSTRUCTIONS),
        *(f"<image>\n{instruction} {STEM}\nA. a shore" for instruction in INSTRUCTIONS),
        *(f"<image>\n{STEM} {instruction}" for instruction in INSTRUCTIONS),
    ],
)
def test_video_mark_instructions_and_options_are_cut(text: str):
    assert question_stem(text) == STEM


def test_what_does_not_begin_a_line_is_no_option():
    assert question_stem("Is it (A) or A?\nWhich one?") == "Is it (A) or A?\nWhich one?"
