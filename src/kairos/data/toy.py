"""Tiny data sets without videos: spans for the toy policy, and frame features for the frame agent."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch.nn.functional import normalize
from torch.utils.data import Dataset

from kairos.core.seeds import mix
from kairos.core.spans import Span
from kairos.core.types import Prompt, Target, Template, VideoClip
from kairos.data.templates.answer import AnswerOnly

_EVENTS = ("rain", "music", "a knock", "laughter", "a bell", "thunder", "applause", "silence")


class ToyGrounding(Dataset[Prompt]):
    """Asks when one of a few events happens. Each event has one span on a grid of 0.5 s, the same in all prompts.

    The clips have no frames: a policy can learn an event's span from the reward only.
    """

    def __init__(
        self,
        prompts: int = 16,
        events: int = 4,
        seconds: float = 16.0,
        seed: int = 0,
        split: str = "train",
        template: Template | None = None,
    ) -> None:
        if not 1 <= events <= len(_EVENTS):
            raise ValueError(f"data.events must lie in 1..{len(_EVENTS)}, got {events}")
        if prompts < 1 or seconds < 8:
            raise ValueError(f"data.prompts must be >= 1 and data.seconds >= 8, got {prompts} and {seconds}")
        self.prompts, self.seconds, self.seed, self.split = prompts, seconds, seed, split
        self.template = template or AnswerOnly()
        rng = np.random.default_rng(mix("toy", seed))
        lengths = rng.integers(4, 9, events) / 2
        starts = [rng.integers(0, round(2 * (seconds - length)) + 1) / 2 for length in lengths]
        self.spans = [Span(float(s), float(s + length)) for s, length in zip(starts, lengths, strict=True)]

    def __len__(self) -> int:
        return self.prompts

    def __getitem__(self, index: int) -> Prompt:
        if not 0 <= index < self.prompts:
            raise IndexError(index)
        event = index % len(self.spans)
        uid = f"toy/{self.split}-{self.seed}/{index:04d}"
        return Prompt(
            uid=uid,
            task="grounding",
            source="toy",
            clip=VideoClip(uid, None, torch.arange(0, self.seconds, 0.5), self.seconds),
            question=_EVENTS[event],
            target=Target(spans=(self.spans[event],)),
            template=self.template,
        )


class ToyFrames(Dataset[Prompt]):
    """The same question about the beginning of one clip in every prompt; the first `evidence` frames are the evidence.

    A frame is a random unit vector, one a second: `clip.features["clip"]` [frames, width]. The question is another one:
    `features["question"]` [width]. TSPO's toy example (arXiv 2508.04369) without its answerer.

    With a `peak`, the cosine of every frame and the question is `likeness`, and up to `rise` more around frame `peak`
    (a bell curve of 20 frames): as in the released example, untrained scores favour the middle of the clip.
    """

    def __init__(
        self,
        prompts: int = 10,
        frames: int = 128,
        width: int = 768,
        evidence: int = 16,
        seed: int = 0,
        split: str = "train",
        likeness: float = 0.0,
        peak: int | None = None,
        rise: float = 0.0,
    ) -> None:
        if not 1 <= evidence < frames:
            raise ValueError(f"data.evidence must lie in 1..{frames - 1}, got {evidence}")
        if peak is None and (likeness or rise):
            raise ValueError("data.likeness and data.rise need data.peak, the frame that is most like the question")
        if not -1 < likeness + max(rise, 0.0) < 1:
            raise ValueError(f"data.likeness + data.rise is a cosine below 1, got {likeness} + {rise}")
        if prompts < 1:
            raise ValueError(f"data.prompts must be >= 1, got {prompts}")
        self.prompts, self.frames, self.width, self.evidence = prompts, frames, width, evidence
        self.seed, self.split = seed, split
        self.likeness, self.peak, self.rise = likeness, peak, rise

    @cached_property
    def features(self) -> torch.Tensor:
        """Unit vectors of all frames and, last, of the question: float32 [frames + 1, width]."""
        generator = torch.Generator().manual_seed(mix("toy frames", self.seed))
        vectors = normalize(torch.randn(self.frames + 1, self.width, generator=generator), dim=-1)
        if self.peak is None:
            return vectors
        frames_TD, question_D = vectors[:-1], vectors[-1]
        away = (torch.arange(self.frames) - self.peak) / 20
        cosine_T1 = (self.likeness + self.rise * (-away.square() / 2).exp())[:, None]
        across_TD = normalize(frames_TD - (frames_TD @ question_D)[:, None] * question_D, dim=-1)
        return torch.cat([cosine_T1 * question_D + (1 - cosine_T1.square()).sqrt() * across_TD, question_D[None]])

    def __len__(self) -> int:
        return self.prompts

    def __getitem__(self, index: int) -> Prompt:
        if not 0 <= index < self.prompts:
            raise IndexError(index)
        uid = f"toy_frames/{self.split}-{self.seed}/{index:04d}"
        seconds_T = torch.arange(self.frames, dtype=torch.float32)
        features = {"clip": self.features[:-1]}
        return Prompt(
            uid=uid,
            task="needle",
            source="toy_frames",
            clip=VideoClip(f"toy_frames/{self.seed}", None, seconds_T, float(self.frames), features),
            question="What is the scene at the beginning of the video?",
            target=Target(evidence=(Span(0.0, self.evidence - 0.5),)),
            features={"question": self.features[-1]},
        )
