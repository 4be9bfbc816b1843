"""The data set that composes long videos around a target clip: needles in haystacks of other clips (TSPO).

A needle is r copies of the target, each a random choice of its frames, among distractor clips, in a random order of
clips. Nothing is decoded anew: frames, and features that a part of `enrich` keeps, are those of the stored clips.
Departures from TSPO's released code, which composes in the trainer: (1) the target's own video is never a distractor,
and no video is one twice; (2) frames come from the clip store, so a target of fewer frames than a copy has repeats some
of them, where the released code would decode between them; (3) a clip that is asked about as a whole and is short is
shown as it is, without repeats; (4) a part that cannot be decoded fails the prompt, instead of being black.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from kairos.core.protocols import Enrich, Processor
from kairos.core.seeds import mix
from kairos.core.spans import Span, inside
from kairos.core.types import Prompt, Target, Template, VideoClip, VideoSource
from kairos.data.dataset import Loader, PromptDataset
from kairos.data.records import Reader, Record
from kairos.video.composed import ComposedClip
from kairos.video.errors import VideoError
from kairos.video.samplers.spread import even


@runtime_checkable
class ChoosesDistractors(Protocol):
    """A reader that knows which videos may surround a needle."""

    def distractors(self, record: Record) -> Sequence[VideoSource]:
        """Distinct videos that do not show what the record asks about, in a fixed order."""
        ...


@dataclass(frozen=True)
class Composition:
    """How many clips of how many frames make a needle. The defaults are TSPO's: 650 to 800 frames at 1 a second."""

    distractors: int = 12
    """Clips around the target's."""
    frames: int = 50
    """Of each clip."""
    copies: Sequence[int] = (1, 4)
    """Fewest and most copies of the target; drawn uniformly."""
    most: int = 128
    """A target that is shorter than `frames`, or longer than this, gives so many, evenly spread, to choose from. Of a
    clip that is asked about as a whole, the most candidates."""
    fps: float = 1.0
    """Frames a second of the composed clip."""

    def __post_init__(self) -> None:
        if self.distractors < 0 or not 1 <= self.frames <= self.most or not self.fps > 0:
            raise ValueError(
                "composition needs distractors >= 0, 1 <= frames <= most and fps > 0, "
                f"got {self.distractors}, {self.frames}, {self.most} and {self.fps}"
            )
        if len(self.copies) != 2 or not 1 <= self.copies[0] <= self.copies[1]:
            raise ValueError(f"composition.copies must be [fewest, most], at least one, got {list(self.copies)}")


class NeedleDataset(PromptDataset):
    """A `PromptDataset` whose needles (records of the `needle_tasks`) are composed; see this module.

    The composition is a function of (seed, uid). Distractors are drawn from those that the reader of `records` chooses
    (`ChoosesDistractors`), or from all other videos of the records. Where a record says when its evidence is visible,
    every copy keeps as many of those frames as fit, and they alone are the prompt's evidence; else the whole copies
    are. Other records keep their clip: all candidates, `composition.most` of them at most, at their own times.

    Clips of both kinds are views (`ComposedClip`): frames are read when somebody takes them. `enrich` sees the view.
    """

    def __init__(
        self,
        records: Sequence[Record] | Reader,
        loader: Loader,
        template: Template | None = None,
        processor: Processor | None = None,
        enrich: Mapping[str, Enrich | None] | None = None,
        composition: Composition | None = None,
        needle_tasks: Sequence[str] = ("needle",),
        seed: int = 0,
        chooser: ChoosesDistractors | None = None,
        text_bytes: int = 16_384,
    ) -> None:
        super().__init__(records, loader, template, processor, enrich, text_bytes)
        self.composition = composition or Composition()
        self.needle_tasks, self.seed = tuple(needle_tasks), seed
        reads = records if isinstance(records, ChoosesDistractors) else None
        self.chooser: ChoosesDistractors = chooser or reads or AllOthers.of(self.records)
        for record in self.records:
            if record.task in self.needle_tasks and (record.target.spans or record.target.highlights):
                raise ValueError(
                    f"{record.uid}: a composed needle keeps its evidence alone, and this record has spans or "
                    "highlights; give it another task, or write its times as evidence"
                )

    def of(self, records: Sequence[Record]) -> NeedleDataset:
        """The same data set with other records; distractors are drawn from the same videos as before."""
        return NeedleDataset(
            records, self.loader, self.template, self.processor, self.enrich, self.composition, self.needle_tasks,
            self.seed, self.chooser, self.text_bytes,
        )  # fmt: skip

    def _decoded(self, record: Record) -> Prompt:
        prompt = super()._decoded(record)
        if record.task in self.needle_tasks:
            return self._needle(prompt, record)
        clip, most = prompt.clip, self.composition.most
        index_T = torch.arange(len(clip)) if len(clip) <= most else even(len(clip), most)
        view = _view(clip.uid, (clip,), torch.zeros_like(index_T), index_T, clip.seconds_T[index_T], clip.duration)
        return replace(prompt, clip=view)

    def _needle(self, prompt: Prompt, record: Record) -> Prompt:
        composition, frames = self.composition, self.composition.frames
        rng = np.random.default_rng(mix(self.seed, "needle", record.uid))
        copies = int(rng.integers(composition.copies[0], composition.copies[1] + 1))
        others = self._distractors(record, rng)
        target_of = np.concatenate([np.zeros(copies, dtype=np.int64), np.arange(1, len(others) + 1)])
        order = rng.permutation(target_of)
        shows_N = _shows(prompt.clip, record.target)
        index = [
            even(len(others[part - 1]), frames) if part else _copy(prompt.clip, frames, composition.most, shows_N, rng)
            for part in order
        ]
        index_T, part_T = torch.cat(index), torch.from_numpy(order).repeat_interleave(frames)
        seconds_T = torch.arange(len(index_T), dtype=torch.float64) / composition.fps
        evidence_T = (part_T == 0) & shows_N[index_T.clamp(max=len(shows_N) - 1)]
        if not evidence_T.any():
            raise VideoError(
                f"{record.video}: no frame of the target shows the evidence that {record.uid} names; correct its times"
            )
        slot_T = torch.arange(len(order)).repeat_interleave(frames)
        evidence = _runs(evidence_T, slot_T, 1 / composition.fps)
        duration = len(index_T) / composition.fps
        clip = _view(f"needle {record.uid}", (prompt.clip, *others), part_T, index_T, seconds_T, duration)
        return replace(prompt, clip=clip, target=replace(record.target, evidence=evidence))

    def _distractors(self, record: Record, rng: np.random.Generator) -> list[VideoClip]:
        videos = self.chooser.distractors(record)
        count = self.composition.distractors
        if len(videos) < count:
            raise ValueError(
                f"{record.uid}: a needle takes {count} distractors, but only {len(videos)} other videos may stand "
                "beside its target: give the data more videos, or lower composition.distractors"
            )
        clips = []
        for place in rng.permutation(len(videos))[:count]:
            try:
                clips.append(self.loader.load(videos[int(place)]))
            except VideoError as error:
                raise VideoError(
                    f"a distractor of the needle {record.uid} cannot be used: {error}; put the video in place, or "
                    "leave the rows of this video out of the annotations"
                ) from error
        return clips


@dataclass(frozen=True)
class AllOthers:
    """Every one of some videos but the target's."""

    videos: Sequence[VideoSource]
    """Distinct, in a fixed order."""

    @staticmethod
    def of(records: Sequence[Record]) -> AllOthers:
        """The videos of all records, of every task."""
        return AllOthers(tuple(dict.fromkeys(record.video for record in records)))

    def distractors(self, record: Record) -> Sequence[VideoSource]:
        return [video for video in self.videos if video.path != record.video.path]


def _view(
    uid: str, parts: tuple[VideoClip, ...], part_T: Tensor, index_T: Tensor, seconds_T: Tensor, duration: float
) -> ComposedClip:
    return ComposedClip(uid, None, seconds_T, duration, parts=parts, part_T=part_T, index_T=index_T)


def _shows(clip: VideoClip, target: Target) -> Tensor:
    """Which frames of the target lie in its evidence: bool [N]; all of them where it names none."""
    return inside(clip.seconds_T, target.evidence) if target.evidence else torch.ones(len(clip), dtype=torch.bool)


def _copy(clip: VideoClip, frames: int, most: int, shows_N: Tensor, rng: np.random.Generator) -> Tensor:
    """A random choice of `frames` of a target's frames, rising; those that show the evidence are taken first."""
    candidates = torch.arange(len(clip)) if frames <= len(clip) <= most else even(len(clip), most)
    keys = torch.from_numpy(rng.random(len(candidates))) - shows_N[candidates].double()
    return candidates[keys.argsort()[:frames].sort().values]


def _runs(evidence_T: Tensor, slot_T: Tensor, step: float) -> tuple[Span, ...]:
    """Spans of consecutive evidence frames of one clip, from the first frame's time to half a step behind the last."""
    spans = []
    places = enumerate(zip(evidence_T.tolist(), slot_T.tolist(), strict=True))
    for (shows, _), run in groupby(places, key=lambda place: place[1]):
        if shows:
            numbers = [number for number, _ in run]
            spans.append(Span(numbers[0] * step, (numbers[-1] + 0.5) * step))
    return tuple(spans)
