"""A reward term for the format that the template asks for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.core.types import RolloutGroup
from kairos.credit.rewards.answered import template_of


@dataclass(frozen=True)
class Format:
    """1.0 where the template calls the text well formed, else 0.0: [G]. ValueError when the prompt has no template."""

    def __call__(self, group: RolloutGroup) -> Tensor:
        template = template_of(group.prompt)
        return torch.tensor([float(template.well_formed(rollout.text)) for rollout in group.rollouts])
