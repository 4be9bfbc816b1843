"""Filling a feature store before a run: each clip and question once, and what cannot be embedded is named."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from kairos.core.protocols import Embeds
from kairos.core.types import Prompt, Target, VideoClip, VideoSource
from kairos.data.embedding import fill
from kairos.data.records import Record
from kairos.video.errors import VideoError


@dataclass(frozen=True)
class Listening:
    """Remembers what it was asked to embed."""

    clips: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __call__(self, prompt: Prompt) -> Prompt:
        return prompt

    def of_clip(self, clip: VideoClip) -> Tensor:
        self.clips.append(clip.uid)
        return torch.zeros(len(clip), 2)

    def of_text(self, text: str) -> Tensor:
        if not text:
            raise VideoError("no word is left")
        self.texts.append(text)
        return torch.zeros(2)


class Camera:
    def load(self, source: VideoSource) -> VideoClip:
        if source.path == "broken.mp4":
            raise VideoError("broken.mp4: does not decode")
        return VideoClip(source.path, None, torch.arange(4.0), 4.0)


def test_each_clip_and_question_is_embedded_once_and_failures_are_named():
    asked = [("a.mp4", "when?"), ("a.mp4", "who?"), ("b.mp4", "when?"), ("broken.mp4", "why?"), ("b.mp4", "")]
    records = [Record(str(i), "needle", "x", VideoSource(path), q, Target()) for i, (path, q) in enumerate(asked)]
    part = Listening()
    assert isinstance(part, Embeds)
    report = fill(records, Camera(), part)
    assert part.clips == ["a.mp4", "b.mp4"] and part.texts == ["when?", "who?", "why?"]
    assert (report.clips, report.frames, report.questions) == (2, 8, 3)
    assert report.failed == (("broken.mp4", "broken.mp4: does not decode"), ("''", "no word is left"))
    assert "2 failed" in str(report) and "broken.mp4: does not decode" in str(report)
