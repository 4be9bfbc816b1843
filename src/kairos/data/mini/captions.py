"""Single frames of the mini world and captions that are true of them: what the mini CLIP learns from.

A caption names the things that a frame shows: "a red circle and a blue square", or "a plain background". None is a
question, nor names a colour or a shape alone: a model of captions ranks frames by questions less well than by captions,
as released CLIPs do, and an agent has something to learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import av
import numpy as np

from kairos.core.seeds import mix
from kairos.data.mini.render import image, visible
from kairos.data.mini.scene import COLOURS, FPS, LONG, SHAPES, SHORT, draw_scene

NOTHING = "nothing"
FACTS = (NOTHING, *(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES))
"""What a caption may say of a frame: that it is empty, or that it shows a thing."""
EMPTY = ("a plain background", "nothing at all", "an empty picture")
"""Captions of an empty frame."""


@dataclass(frozen=True)
class CaptionedFrames:
    """`count` frames of scenes of the split `split`, drawn at `seed`: a seventh empty, a third with two things.

    Scenes are those of ordinary and needle clips, without the held-out pairs of colour and shape. The pixels pass the
    colour format of the stored videos (4:2:0), not their compression.
    """

    count: int
    split: str = "train"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"frames must be >= 1, got {self.count}")

    @cached_property
    def _drawn(self) -> tuple[np.ndarray, list[tuple[str, ...]]]:
        pictures, names = [], []
        for i in range(self.count):
            rng = np.random.default_rng(mix(self.seed, "captions", self.split, i))
            scene = draw_scene(LONG if i % 2 else SHORT, mix(self.seed, "captioned scene", self.split, i))
            things = [visible(scene, k) for k in range(round(scene.kind.seconds * FPS))]
            wanted = int(rng.choice([0, 1, 2], p=[1 / 7, 11 / 21, 1 / 3]))
            k = int(rng.choice([k for k, shown in enumerate(things) if min(len(shown), 2) == wanted] or len(things)))
            frame = av.VideoFrame.from_ndarray(image(scene, k), format="rgb24").reformat(format="yuv420p")
            pictures.append(frame.to_ndarray(format="rgb24"))
            names.append(tuple(thing.name for thing in things[k]))
        return np.stack(pictures).transpose(0, 3, 1, 2).copy(), names

    @property
    def frames(self) -> np.ndarray:
        """uint8 [N, 3, height, width]."""
        return self._drawn[0]

    @property
    def names(self) -> list[tuple[str, ...]]:
        """The things that each frame shows, such as ("red circle", "blue square")."""
        return self._drawn[1]

    @cached_property
    def facts(self) -> np.ndarray:
        """bool [N, len(FACTS)]: what is true of each frame."""
        return np.stack([facts(names) for names in self.names])


def caption(names: Sequence[str], rng: np.random.Generator) -> str:
    """A caption of a frame that shows things of these `names`: all of them in a random order, or that there is nothing.

    >>> caption(["red circle"], np.random.default_rng(0))
    'a red circle'
    """
    if not names:
        return str(rng.choice(EMPTY))
    return " and ".join(f"a {name}" for name in rng.permutation(list(names)))


def facts(names: Sequence[str]) -> np.ndarray:
    """bool [len(FACTS)]: what is true of a frame that shows things of these names, and what its caption states.

    A caption is true of every frame for which all that it states is true.
    """
    return np.isin(FACTS, list(names) or [NOTHING])
