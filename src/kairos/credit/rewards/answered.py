"""What reward terms share: the answers of a group, read through the grammar of the prompt's template."""

from __future__ import annotations

from kairos.core.answers import Answer, read
from kairos.core.types import Prompt, RolloutGroup, Template


def answers(group: RolloutGroup) -> list[Answer]:
    """One answer per rollout; ValueError when the prompt has no template, so that nothing says how to read it."""
    grammar = template_of(group.prompt).grammar
    return [read(rollout.text, grammar) for rollout in group.rollouts]


def template_of(prompt: Prompt) -> Template:
    """The prompt's template; ValueError where it has none."""
    if prompt.template is None:
        raise ValueError(f"prompt {prompt.uid!r} has no template, so nothing says how its answers are written")
    return prompt.template
