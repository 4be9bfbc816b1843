"""Whether chosen frames show the evidence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.core.types import RolloutGroup


@dataclass(frozen=True)
class EvidenceHit:
    """1.0 where at least one chosen frame lies in an evidence span (ends included), else 0.0: [G].

    Actions are frame indices of the prompt's clip (TSPO's toy example). ValueError when the prompt has no evidence,
    a rollout no actions, or an index lies outside the clip.
    """

    def __call__(self, group: RolloutGroup) -> Tensor:
        prompt = group.prompt
        if not prompt.target.evidence:
            raise ValueError(
                f"prompt {prompt.uid!r} (task {prompt.task!r}) has no evidence; restrict the term with `tasks`"
            )
        seconds_T = prompt.clip.seconds_T
        inside_T = torch.zeros(len(seconds_T), dtype=torch.bool)
        for span in prompt.target.evidence:
            inside_T |= (seconds_T >= span.start) & (seconds_T <= span.end)
        return torch.tensor(
            [float(inside_T[_frames(rollout.actions_A, len(seconds_T))].any()) for rollout in group.rollouts]
        )


def _frames(actions_A: Tensor | None, frames: int) -> Tensor:
    if actions_A is None:
        raise ValueError("a rollout without actions chose no frames")
    if len(actions_A) and not (int(actions_A.min()) >= 0 and int(actions_A.max()) < frames):
        raise ValueError(f"chosen frames {actions_A.tolist()} lie outside a clip of {frames} frames")
    return actions_A
