"""Groups to score, from the library's own types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch

from kairos.core.grammar import STRICT, Grammar
from kairos.core.spans import Span
from kairos.core.types import Prompt, Rollout, RolloutGroup, Target, VideoClip
from kairos.data.templates.grammars import timezero_format


@dataclass(frozen=True)
class PlainTemplate:
    """The smallest template: what is asked does not matter here, what is answered does."""

    grammar: Grammar = STRICT

    def messages(self, prompt: Prompt) -> list[dict[str, object]]:
        return [{"role": "user", "content": prompt.question}]

    def answer(self, target: Target) -> str:
        span = max(target.spans, key=lambda s: s.length)
        return f"<answer>{span.start:.1f} to {span.end:.1f}</answer>"

    def well_formed(self, text: str) -> bool:
        return timezero_format(text)


def _group_of(
    texts: Sequence[str],
    target: Target | None = None,
    task: str = "grounding",
    grammar: Grammar = STRICT,
    duration: float = 30.0,
) -> RolloutGroup:
    target = target or Target(spans=(Span(5.1, 10.2),))
    clip = VideoClip("clip", None, torch.arange(30) * 1.0, duration)
    prompt = Prompt("uid-7", task, "test", clip, "when?", target, template=PlainTemplate(grammar))
    return RolloutGroup(prompt, tuple(Rollout(text, None) for text in texts))


@pytest.fixture
def group_of() -> Callable[..., RolloutGroup]:
    """(texts, target, task, grammar, duration) -> one rollout a text, by default of a grounding prompt 5.1 to 10.2."""
    return _group_of
