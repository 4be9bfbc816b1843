"""Features of frames and questions that cost nothing, in place of a vision language encoder's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from kairos.core.seeds import mix
from kairos.core.types import Prompt, VideoClip
from kairos.video.composed import ComposedClip


@dataclass(frozen=True)
class PixelFeatures:
    """A frame's feature is its 2x2 picture, a question's a random vector: both [12]."""

    def __call__(self, prompt: Prompt) -> Prompt:
        clip = prompt.clip
        seen = clip.per_frame(_small) if isinstance(clip, ComposedClip) else _small(clip)
        question = torch.randn(12, generator=torch.Generator().manual_seed(mix(prompt.question)))
        return replace(prompt, clip=replace(clip, features={"clip": seen}), features={"question": question})


def _small(clip: VideoClip) -> Tensor:
    assert clip.frames_TCHW is not None
    return adaptive_avg_pool2d(clip.frames_TCHW.float(), 2).flatten(1) / 255


AGENT = [
    "policy=frame_agent", "+policy.width=12", "+policy.heads=2", "rollout=frame_sets", "answerer=mini",
    "answerer.policy.weights=mini_base",
    "sampling.temperature=0.025", "sampling.max_actions=4", "sampling.group_size=4", "objective=surrogate",
    "reward=choice_evidence", "template=answer", "trainer=cpu", "callbacks.progress=null", "frames=mini", "data=mini",
    "data.tasks=[choice,needle]", "data.clips=4", "data.val_clips=2", "prompts=2", "evaluate=none",
    "+enrich.features={_target_: helpers.pixel_features.PixelFeatures}",
]  # fmt: skip
"""An agent that the shipped mini base answers for, on a few clips of the mini world."""
