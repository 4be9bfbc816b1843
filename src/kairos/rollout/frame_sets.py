"""An engine whose policy chooses frames, and whose frozen answerer writes the text from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from kairos.core.protocols import Answerer, Policy
from kairos.core.types import Prompt, Reply, Rollout, RolloutGroup, Sampling
from kairos.policy.memory.answering import Answering
from kairos.policy.memory.sizes import Sizes
from kairos.video.budget import PixelBudget


@runtime_checkable
class PlansMemory(Protocol):
    """An answerer that knows its sizes before its weights are loaded."""

    def sizes(self) -> Sizes | None: ...

    def planned(self, budget: PixelBudget, frames: int) -> Answering | None:
        """What it computes at once for sets of so many frames."""
        ...


@runtime_checkable
class Counts(Protocol):
    """An answerer that counts what it did since the last call."""

    def counted(self) -> Mapping[str, int]: ...


class FrameSets:
    """The policy draws `group_size` sets of K frames a prompt; one call of the answerer answers all sets greedily.

    K is `frames_by_task[prompt.task]`, or `sampling.max_actions` where the task has no entry or None. At temperature 0
    (evaluation) every task is shown `sampling.max_actions` frames. Equal sets of one prompt are asked once. Source:
    TSPO (arXiv 2508.04369); there the sets are answered one by one.

    The answerer is not trained and not in the module's state; it stays on the device between iterations.
    """

    asks_policy = True

    def __init__(self, answerer: Answerer | None, frames_by_task: Mapping[str, int | None] | None = None) -> None:
        if answerer is None:
            raise ValueError("rollout=frame_sets needs an answerer: choose one, such as answerer=mini")
        self.answerer = answerer
        self.frames_by_task = {task: frames for task, frames in (frames_by_task or {}).items() if frames is not None}
        for task, frames in self.frames_by_task.items():
            if frames < 1:
                raise ValueError(f"rollout.frames_by_task.{task} must be >= 1 frame, got {frames}")
        self._policy: Policy | None = None

    def setup(self, device: torch.device) -> None:
        """Load the answerer's weights, once, onto `device`."""
        with device:
            self.answerer.build()
        self.answerer.to(device)

    def sync(self, policy: Policy) -> None:
        self._policy = policy

    def generate(self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int) -> list[RolloutGroup]:
        """ValueError where the policy's actions are not frames."""
        groups = self._drawn(prompts, group_size, sampling, seed)
        chosen = [[_chosen(group.prompt, row) for row in group.rollouts] for group in groups]
        replies = replies_to(self.answerer, [group.prompt for group in groups], chosen)
        return [
            replace(group, rollouts=tuple(map(with_reply, group.rollouts, said)))
            for group, said in zip(groups, replies, strict=True)
        ]

    def _drawn(self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int) -> list[RolloutGroup]:
        """The policy's groups in the prompts' order; it is asked once for all prompts of one K."""
        if self._policy is None:
            raise RuntimeError("the engine of frame sets has no policy yet: call sync(policy) first")
        shown = [self._frames(prompt, sampling) for prompt in prompts]
        groups: dict[int, RolloutGroup] = {}
        for frames in sorted(set(shown)):
            places = [place for place, count in enumerate(shown) if count == frames]
            asked = [prompts[place] for place in places]
            drawn = self._policy.sample(asked, group_size, replace(sampling, max_actions=frames), seed)
            groups |= zip(places, drawn, strict=True)
        return [groups[place] for place in range(len(prompts))]

    def _frames(self, prompt: Prompt, sampling: Sampling) -> int:
        by_task = self.frames_by_task if sampling.temperature else {}
        return by_task.get(prompt.task, sampling.max_actions)

    def release(self) -> None: ...

    def counted(self) -> Mapping[str, int]:
        """The answerer's counts since the last call, for the log; empty where it keeps none."""
        return self.answerer.counted() if isinstance(self.answerer, Counts) else {}

    def held_sizes(self) -> Mapping[str, Sizes]:
        """Sizes of the answerer, for the memory plan; empty where it does not state them."""
        sizes = self.answerer.sizes() if isinstance(self.answerer, PlansMemory) else None
        return {} if sizes is None else {"answerer": sizes}

    def answering(self, budget: PixelBudget, most: int) -> Answering | None:
        """What the answerer computes at once, for the memory plan; `most`: `sampling.max_actions`."""
        frames = max(most, *self.frames_by_task.values()) if self.frames_by_task else most
        return self.answerer.planned(budget, frames) if isinstance(self.answerer, PlansMemory) else None


def replies_to(answerer: Answerer, prompts: Sequence[Prompt], chosen: Sequence[Sequence[Tensor]]) -> list[list[Reply]]:
    """A reply for each set of frames, as `Answerer.answer`; equal sets of one prompt are asked once."""
    sets = [{tuple(index_K.tolist()): index_K for index_K in of_prompt} for of_prompt in chosen]
    replies = answerer.answer(prompts, [list(distinct.values()) for distinct in sets])
    said = [dict(zip(distinct, answers, strict=True)) for distinct, answers in zip(sets, replies, strict=True)]
    return [
        [by_set[tuple(index_K.tolist())] for index_K in of_prompt]
        for by_set, of_prompt in zip(said, chosen, strict=True)
    ]


def with_reply(rollout: Rollout, reply: Reply) -> Rollout:
    """The rollout with what the answerer said of its frames."""
    return replace(rollout, text=reply.text, option_probs_O=reply.option_probs_O, truncated=reply.truncated)


def _chosen(prompt: Prompt, rollout: Rollout) -> Tensor:
    if rollout.chosen_K is None:
        raise ValueError(
            f"prompt {prompt.uid}: the policy chose no frames to answer from; rollout=frame_sets goes with a policy "
            "whose actions are frames, such as policy=frame_agent"
        )
    return rollout.chosen_K
