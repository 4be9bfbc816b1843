"""The texts on which the mini policy's tokenizer is trained: all questions and answers of the mini world."""

from __future__ import annotations

from kairos.core.spans import Span
from kairos.core.types import Target
from kairos.data.mini.questions import wordings
from kairos.data.mini.scene import COLOURS, SHAPES
from kairos.data.templates.answer import AnswerOnly
from kairos.data.templates.parts import lettered
from kairos.data.templates.think import Think


def corpus() -> list[str]:
    """Prompts, answers in both templates, numbers 0 to 99 and timestamps "<12.2 seconds>"; the same at every call."""
    names = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
    asked = wordings()
    texts = [str(number) for number in range(100)] + [f"<{tenth / 10:.1f} seconds>" for tenth in range(0, 400, 3)]
    for template in (AnswerOnly(), Think()):
        for wording in (template.grounding, template.choice, template.grounded_qa):
            texts += [
                "user\n" + wording.replace("{question}", question).replace("{options}", lettered(options))
                for question in asked
                for options in (names[:3], list(SHAPES[:3]), list(COLOURS)[:4])
            ]
        for index, name in enumerate(names):
            for letter in (None, "A", "B", "C", "D"):
                span = Span(index * 0.7, index * 0.7 + 2.5)
                said = f"{name} {span.start:.1f} to {span.end:.1f}"
                texts.append("assistant\n" + template.answer(Target(spans=(span,), choice=letter, demonstration=said)))
                if letter:
                    texts.append(template.answer(Target(choice=letter, demonstration=said)))
    return texts
