"""An engine that samples from the policy that is being trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from kairos.core.protocols import Policy
from kairos.core.types import Prompt, RolloutGroup, Sampling


class Live:
    """Calls `policy.sample` for `prompts_at_once` prompts at a time (None: all), which bounds memory.

    `ahead`: see `kairos.rollout.ahead.scheduled`.
    """

    asks_policy = True

    def __init__(self, prompts_at_once: int | None = None, ahead: int = 0) -> None:
        if prompts_at_once is not None and prompts_at_once < 1:
            raise ValueError(f"rollout.prompts_at_once must be >= 1 or null, got {prompts_at_once}")
        self.prompts_at_once, self.ahead = prompts_at_once, ahead
        self._policy: Policy | None = None

    def setup(self, device: torch.device) -> None:
        del device

    def sync(self, policy: Policy) -> None:
        self._policy = policy

    def generate(self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int) -> list[RolloutGroup]:
        if self._policy is None:
            raise RuntimeError("the live engine has no policy yet: call sync(policy) first")
        size = self.prompts_at_once or max(1, len(prompts))
        groups: list[RolloutGroup] = []
        for start in range(0, len(prompts), size):
            groups += self._policy.sample(prompts[start : start + size], group_size, sampling, seed)
        return groups

    def release(self) -> None: ...
