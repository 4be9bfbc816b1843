"""Questions of the mini world for choosing frames: needles to compose, and scenes that must be seen as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest

import numpy as np

from kairos.core.seeds import mix
from kairos.core.spans import Span
from kairos.core.types import Target, VideoSource
from kairos.data.mini import questions as asking
from kairos.data.mini.scene import COLOURS, FPS, SHAPES, Scene
from kairos.data.mini.world import MiniWorld
from kairos.data.records import Record

_ASKED = {
    **{asking.SHAPE.format(colour): colour for colour in COLOURS},
    **{asking.COLOUR.format(shape): shape for shape in SHAPES},
}
"""The colour or the shape by which a question names its thing."""


@dataclass(frozen=True)
class MiniNeedles:
    """Records of the task "needle" about clips of `world`, for `NeedleDataset`: which shape is red, which colour the
    circle. The evidence is the time of the thing; a distractor shows nothing of the colour or shape that is asked.

    At most `questions_per_clip` questions a clip; a shape is asked only if the clip shows it once. `in_turn` asks for a
    colour, then for a shape, and so on, so that both kinds are about as frequent; otherwise they are drawn at random.
    """

    world: MiniWorld
    questions_per_clip: int = 2
    in_turn: bool = False

    def __post_init__(self) -> None:
        if "needle" in self.world.tasks:
            raise ValueError("mini needles are composed of ordinary clips: world.tasks must not have 'needle'")
        if self.questions_per_clip < 1:
            raise ValueError(f"mini questions_per_clip must be >= 1, got {self.questions_per_clip}")

    def records(self) -> list[Record]:
        return [record for index, scene in enumerate(self.world.scenes()) for record in self._records(index, scene)]

    def distractors(self, record: Record) -> Sequence[VideoSource]:
        return self._without[_ASKED[record.question]]

    @cached_property
    def _without(self) -> dict[str, list[VideoSource]]:
        """The clips that do not show a colour or a shape."""
        without: dict[str, list[VideoSource]] = {asked: [] for asked in _ASKED.values()}
        for index in range(self.world.clips):
            shown = {word for thing in self.world.scene(index).things for word in (thing.colour, thing.shape)}
            for asked in without.keys() - shown:
                without[asked].append(_video(self.world, index))
        return without

    def _records(self, index: int, scene: Scene) -> Iterator[Record]:
        slugs = [slug for slug in asking.slugs(scene, "choice") if slug not in asking.ORDER]
        yield from _drawn(self.world, index, scene, "needle", slugs, self.questions_per_clip, self.in_turn)


@dataclass(frozen=True)
class MiniOrder:
    """Records of the task "choice": which object of a clip appears first, and which last."""

    world: MiniWorld

    def records(self) -> list[Record]:
        return [
            record
            for index, scene in enumerate(self.world.scenes())
            for record in _drawn(self.world, index, scene, "choice", list(asking.ORDER), len(asking.ORDER))
        ]


def _drawn(
    world: MiniWorld, index: int, scene: Scene, task: str, slugs: Sequence[str], count: int, in_turn: bool = False
) -> Iterator[Record]:
    """`count` of the questions about a clip, drawn at random; `in_turn`: their kinds take turns, "colour" first."""
    name = f"mini/{world.split}-{world.seed}/{index:06d}/frames"
    order = [str(slug) for slug in np.random.default_rng(mix("order", name)).permutation(list(slugs))]
    if in_turn:
        kinds = {kind: [slug for slug in order if slug.startswith(kind)] for kind in ("colour", "shape")}
        order = [slug for pair in zip_longest(*kinds.values()) for slug in pair if slug is not None]
    for slug in order[:count]:
        uid = f"{name}/{slug}"
        question = asking.ask(scene, task, slug, np.random.default_rng(mix("options", uid)))
        span = question.thing.span
        evidence = (Span(span.start, span.end - 0.5 / FPS),) if task == "needle" else ()  # its end is not visible
        yield Record(
            uid=uid,
            task=task,
            source="mini",
            video=_video(world, index),
            question=question.text,
            target=Target(choice=question.choice, evidence=evidence),
            options=question.options,
            duration=scene.kind.seconds,
        )


def _video(world: MiniWorld, index: int) -> VideoSource:
    return VideoSource(str(world.path(index)))
