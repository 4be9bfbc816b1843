"""Reward terms for the right option: stated, or probable."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.core.types import Prompt, Rollout, RolloutGroup
from kairos.credit.rewards.answered import answers, template_of


@dataclass(frozen=True)
class Choice:
    """1.0 where the stated letter is the target's, else 0.0: [G]. ValueError when the prompt has no right choice."""

    def __call__(self, group: RolloutGroup) -> Tensor:
        right = _right(group.prompt)
        return torch.tensor([float(answer.choice == right) for answer in answers(group)])


@dataclass(frozen=True)
class SoftChoice:
    """The probability that the answerer gives to the right option's letter: [G] in [0, 1].

    ValueError when the prompt has no right choice, when that is none of its options, or when a rollout has no
    probabilities of options (its answer was written freely, or by the policy itself).
    """

    def __call__(self, group: RolloutGroup) -> Tensor:
        prompt, right = group.prompt, _right(group.prompt)
        place = template_of(prompt).grammar.choice.letters.find(right)
        if not 0 <= place < len(prompt.options):
            raise ValueError(f"prompt {prompt.uid!r}: choice {right!r} is none of its {len(prompt.options)} options")
        return torch.stack([_option_probs(row, prompt)[place].float().cpu() for row in group.rollouts])


def _right(prompt: Prompt) -> str:
    """The letter of the right option."""
    if prompt.target.choice is None:
        raise ValueError(f"prompt {prompt.uid!r} (task {prompt.task!r}) has no choice; restrict the term with `tasks`")
    return prompt.target.choice


def _option_probs(rollout: Rollout, prompt: Prompt) -> Tensor:
    if rollout.option_probs_O is None:
        raise ValueError(
            f"prompt {prompt.uid!r}: the rollout has no probabilities of options; take rollout=frame_sets with an "
            "answerer that scores letters (answerer.mode=letters), or the term Choice"
        )
    return rollout.option_probs_O
