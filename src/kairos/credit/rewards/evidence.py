"""A reward term for choosing frames that show the evidence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kairos.core.spans import inside
from kairos.core.types import Prompt, RolloutGroup


@dataclass(frozen=True)
class EvidenceHit:
    """1.0 where at least `frames` chosen frames lie in an evidence span (ends included), else 0.0: [G].

    Actions are frame indices of the prompt's clip (TSPO's toy example). ValueError when the prompt has no evidence,
    a rollout no actions, or an index lies outside the clip.
    """

    frames: int = 1

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"frames must be >= 1, got {self.frames}")

    def __call__(self, group: RolloutGroup) -> Tensor:
        return torch.tensor([float(hits_A.sum() >= self.frames) for hits_A in _hits(group)])


@dataclass(frozen=True)
class EvidenceShare:
    """Share of the chosen frames that lie in an evidence span (ends included): [G] in [0, 1] (TSPO's R_T).

    With evidence in r of n stretches of equal length, frames chosen at random score r / n. Errors as `EvidenceHit`.
    """

    def __call__(self, group: RolloutGroup) -> Tensor:
        return torch.tensor([float(hits_A.float().mean()) if len(hits_A) else 0.0 for hits_A in _hits(group)])


def _hits(group: RolloutGroup) -> list[Tensor]:
    """For each rollout, which of its chosen frames show evidence: bool [A]."""
    prompt = group.prompt
    if not prompt.target.evidence:
        raise ValueError(
            f"prompt {prompt.uid!r} (task {prompt.task!r}) has no evidence; restrict the term with `tasks`"
        )
    inside_T = shows_evidence(prompt)
    return [inside_T[_frames(rollout.actions_A, len(inside_T))] for rollout in group.rollouts]


def shows_evidence(prompt: Prompt) -> Tensor:
    """Which frames of a prompt's clip lie in an evidence span, ends included: bool [T]."""
    return inside(prompt.clip.seconds_T, prompt.target.evidence)


def _frames(actions_A: Tensor | None, frames: int) -> Tensor:
    if actions_A is None:
        raise ValueError("a rollout without actions chose no frames")
    if len(actions_A) and not (int(actions_A.min()) >= 0 and int(actions_A.max()) < frames):
        raise ValueError(f"chosen frames {actions_A.tolist()} lie outside a clip of {frames} frames")
    return actions_A
