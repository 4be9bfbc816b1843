"""Turns drawn tokens into rollouts: each row's text, its tokens and their log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence

from kairos.core.types import Prompt, Rollout, RolloutGroup
from kairos.policy.processor import LanguageProcessor
from kairos.policy.sampling.draw import Drawn


def rollout_groups(drawn: Drawn, prompts: Sequence[Prompt], processor: LanguageProcessor) -> list[RolloutGroup]:
    """One group for each prompt; a prompt's rows are adjacent in `drawn`."""
    rollouts = []
    for row, length in enumerate(drawn.length_B.tolist()):
        actions_A = drawn.actions_BA[row, :length].clone()
        rollouts.append(
            Rollout(
                text=processor.decode([token for token in actions_A.tolist() if token != processor.end]),
                actions_A=actions_A,
                behavior_logprobs_A=drawn.logprobs_BA[row, :length].clone(),
                truncated=bool(drawn.truncated_B[row]),
            )
        )
    size = len(rollouts) // len(prompts) if prompts else 0
    return [RolloutGroup(prompt, tuple(rollouts[p * size : (p + 1) * size])) for p, prompt in enumerate(prompts)]
