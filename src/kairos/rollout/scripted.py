"""An engine that replays given texts, for tests and for trying rewards without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from kairos.core.protocols import Policy
from kairos.core.types import Prompt, Rollout, RolloutGroup, Sampling


class Scripted:
    """Rollout g of a prompt is `texts[g]`, cyclically; a mapping gives the texts by prompt uid.

    The rollouts count as on-policy, without log-probs; the policy encodes them for the batch.
    """

    asks_policy = False

    def __init__(self, texts: Sequence[str] | Mapping[str, Sequence[str]]) -> None:
        if not texts:
            raise ValueError("rollout.texts must hold at least one text")
        self.texts = texts

    def setup(self, device: torch.device) -> None:
        del device

    def sync(self, policy: Policy) -> None:
        del policy

    def generate(self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int) -> list[RolloutGroup]:
        del sampling, seed
        groups = []
        for prompt in prompts:
            texts = self.texts[prompt.uid] if isinstance(self.texts, Mapping) else self.texts
            rows = (Rollout(texts[row % len(texts)], None) for row in range(group_size))
            groups.append(RolloutGroup(prompt, tuple(rows)))
        return groups

    def release(self) -> None: ...
