"""An engine whose rollouts are the annotations: supervised learning in the same loop."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from kairos.core.protocols import Policy
from kairos.core.types import Origin, Prompt, Rollout, RolloutGroup, Sampling


class Annotations:
    """One rollout per prompt: the target as its template writes it. The policy encodes the text for the batch."""

    asks_policy = False

    def setup(self, device: torch.device) -> None:
        del device

    def sync(self, policy: Policy) -> None:
        del policy

    def generate(self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int) -> list[RolloutGroup]:
        """ValueError for more than one row per prompt, or a prompt without a template."""
        del sampling, seed
        if group_size != 1:
            raise ValueError(f"an annotation is one row per prompt: set sampling.group_size=1, got {group_size}")
        return [
            RolloutGroup(prompt, (Rollout(_answer(prompt), None, origin=Origin.DEMONSTRATION),)) for prompt in prompts
        ]

    def release(self) -> None: ...


def _answer(prompt: Prompt) -> str:
    if prompt.template is None:
        raise ValueError(f"prompt {prompt.uid} has no template, so its answer cannot be written")
    return prompt.template.answer(prompt.target)
