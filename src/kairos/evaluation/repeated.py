"""Repeated inference: K rollouts a prompt, scored as in training, one row of rewards a prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from kairos.core.types import Failure, PromptBatch, RolloutGroup, Sampling
from kairos.curriculum.rewards import PromptRewards

if TYPE_CHECKING:
    from kairos.core.protocols import Reward, RolloutEngine


def repeated(
    engine: RolloutEngine,
    reward: Reward,
    batches: Iterable[PromptBatch],
    sampling: Sampling,
    group_size: int,
    seed: int = 0,
) -> Iterator[list[PromptRewards | Failure]]:
    """One list a batch: its prompts in order, then those that failed. The engine is set up and in sync."""
    for batch in batches:
        prompts = [prompt for prompt, weight in zip(batch.prompts, batch.weights_P.tolist(), strict=True) if weight > 0]
        groups = engine.generate(prompts, group_size, sampling, seed) if prompts else []
        yield [*(scored(group, reward) for group in groups), *batch.failures]


def scored(group: RolloutGroup, reward: Reward) -> PromptRewards:
    prompt, scores = group.prompt, reward(group)
    return PromptRewards(
        uid=prompt.uid,
        task=prompt.task,
        source=prompt.source,
        rewards=tuple(scores.total_G.tolist()),
        terms={name: tuple(values_G.tolist()) for name, values_G in scores.terms.items()},
        duration=float(prompt.clip.duration),
        length=max((span.length for span in prompt.target.spans), default=None),
    )
