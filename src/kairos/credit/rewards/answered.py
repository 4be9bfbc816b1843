"""Reads the answers of a group with the grammar of the prompt's template, for all reward terms."""

from __future__ import annotations

from kairos.core.answers import Answer, read
from kairos.core.types import Prompt, RolloutGroup, Template


def answers(group: RolloutGroup) -> list[Answer]:
    """One answer for each rollout; ValueError if the prompt has no template, which says how to read them."""
    grammar = template_of(group.prompt).grammar
    return [read(rollout.text, grammar) for rollout in group.rollouts]


def template_of(prompt: Prompt) -> Template:
    """The prompt's template; ValueError where it has none."""
    if prompt.template is None:
        raise ValueError(f"prompt {prompt.uid!r} has no template, so nothing says how its answers are written")
    return prompt.template
