"""Single frames of the mini world and captions that are true of them: what the mini CLIP learns from.

A caption names some of what a frame shows, in any detail: "a red circle and a blue square", "something red",
"a circle", "a plain background". None is a question: who ranks frames by a question has to carry over from captions.
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
FACTS = (NOTHING, *COLOURS, *SHAPES, *(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES))
"""What a caption may say of a frame: that it is empty, a colour, a shape, or a thing."""

_EMPTY = ("a plain background", "nothing at all", "an empty picture")
_THING = ("a {}", "one {}", "a picture of a {}", "there is a {}")
_COLOUR = ("something {}", "a {} shape", "a {} thing", "the colour {}")
_SHAPE = ("a {}", "the shape of a {}", "some {}")


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
        return np.stack([_true_of(names) for names in self.names])


def caption(names: Sequence[str], rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """A random caption of a frame that shows things of these `names`, and the facts [len(FACTS)] bool that it states.

    A caption is true of every frame for which all the facts that it states are true.
    """
    if not names:
        return str(rng.choice(_EMPTY)), _stated(NOTHING)
    colour, shape = str(rng.choice(list(names))).split()
    kind = rng.random()
    if kind < 0.15:
        return str(rng.choice(_COLOUR)).format(colour), _stated(colour)
    if kind < 0.3:
        return str(rng.choice(_SHAPE)).format(shape), _stated(shape)
    if kind < 0.5 or len(names) == 1:
        return str(rng.choice(_THING)).format(f"{colour} {shape}"), _stated(f"{colour} {shape}")
    order = [str(name) for name in rng.permutation(list(names))]
    return " and ".join(f"a {name}" for name in order), _stated(*order)


def _stated(*facts: str) -> np.ndarray:
    return np.isin(FACTS, facts)


def _true_of(names: Sequence[str]) -> np.ndarray:
    """Facts about a frame; a thing brings its colour and its shape along."""
    return _stated(*names, *" ".join(names).split()) if names else _stated(NOTHING)
