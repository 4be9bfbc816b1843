"""A reward term for the right option."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.core.types import RolloutGroup
from kairos.credit.rewards.answered import answers


@dataclass(frozen=True)
class Choice:
    """1.0 where the stated letter is the target's, else 0.0: [G]. ValueError when the prompt has no right choice."""

    def __call__(self, group: RolloutGroup) -> Tensor:
        prompt = group.prompt
        if prompt.target.choice is None:
            raise ValueError(
                f"prompt {prompt.uid!r} (task {prompt.task!r}) has no choice; restrict the term with `tasks`"
            )
        return torch.tensor([float(answer.choice == prompt.target.choice) for answer in answers(group)])
