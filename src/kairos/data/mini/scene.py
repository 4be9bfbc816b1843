"""Draws the scenes of the mini world: which coloured shape is where and when, without pixels. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from kairos.core.spans import Span

COLOURS = {
    "red": (225, 35, 35),
    "green": (30, 175, 55),
    "blue": (45, 75, 240),
    "yellow": (240, 220, 40),
    "cyan": (50, 220, 230),
    "pink": (240, 90, 200),
}
SHAPES = ("circle", "square", "triangle", "star")
HELD_OUT = {
    "red": "star",
    "green": "triangle",
    "blue": "circle",
    "yellow": "square",
    "cyan": "star",
    "pink": "triangle",
}
SIZE = 64
FPS = 4
GRID = 0.5


@dataclass(frozen=True)
class Kind:
    """The recipe of a clip."""

    seconds: float
    """Duration."""
    objects: int
    """Number of things."""
    needle: bool = False
    """The first thing is short, and longer distractors surround it."""
    foreign: bool = False
    """Out of distribution: other backgrounds, and held-out pairs of colour and shape."""
    width: int = SIZE
    """Pixels; the scene is scaled to the picture."""
    height: int = SIZE
    """Pixels."""


SHORT = Kind(seconds=16.0, objects=3)
LONG = Kind(seconds=32.0, objects=5, needle=True)
FOREIGN_SHORT = Kind(seconds=16.0, objects=3, foreign=True)
FOREIGN = Kind(seconds=24.0, objects=4, foreign=True)
FOREIGN_LONG = Kind(seconds=32.0, objects=5, needle=True, foreign=True)


@dataclass(frozen=True)
class Thing:
    """One moving shape: visible in [span.start, span.end), its centre going from `begin` to `finish` (x, y)."""

    colour: str
    shape: str
    span: Span
    begin: tuple[float, float]
    finish: tuple[float, float]
    diameter: int

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"

    def centre(self, second: float) -> tuple[float, float]:
        share = (second - self.span.start) / self.span.length
        (x, y), (to_x, to_y) = self.begin, self.finish
        return x + (to_x - x) * share, y + (to_y - y) * share


@dataclass(frozen=True)
class Scene:
    """One clip: its things in no order of time, and the seed of its background."""

    kind: Kind
    things: tuple[Thing, ...]
    background: int

    @property
    def by_start(self) -> tuple[Thing, ...]:
        return tuple(sorted(self.things, key=lambda thing: thing.span.start))

    def shown_once(self, shape: str) -> bool:
        return sum(thing.shape == shape for thing in self.things) == 1


def shapes_of(colour: str, foreign: bool) -> list[str]:
    """The shapes that a colour may have: all of them out of distribution, else all but the held-out one."""
    return [shape for shape in SHAPES if foreign or HELD_OUT[colour] != shape]


@lru_cache(maxsize=65536)
def draw_scene(kind: Kind, seed: int) -> Scene:
    """The scene of a seed: distinct colours, starts at least a second apart, no two shapes touching."""
    rng = np.random.default_rng(seed)
    colours = [str(c) for c in rng.permutation(list(COLOURS))[: kind.objects]]
    shapes = _shapes(rng, kind, colours)
    spans = _spans(rng, kind)
    things: list[Thing] = []
    for colour, shape, span in zip(colours, shapes, spans, strict=True):
        things.append(_place(rng, colour, shape, span, things))
    return Scene(kind, tuple(things), int(rng.integers(2**31)))


def _shapes(rng: np.random.Generator, kind: Kind, colours: list[str]) -> list[str]:
    """A shape for each colour. Out of distribution the first pair is a held-out one; no distractor has the needle's."""
    shapes = [str(rng.choice(shapes_of(colour, kind.foreign))) for colour in colours]
    if kind.foreign:
        shapes[0] = HELD_OUT[colours[0]]
    if kind.needle:
        for i, colour in enumerate(colours[1:], start=1):
            shapes[i] = str(rng.choice([s for s in shapes_of(colour, kind.foreign) if s != shapes[0]]))
    return shapes


def _spans(rng: np.random.Generator, kind: Kind) -> list[Span]:
    while True:
        lengths = GRID * rng.integers(3, 9, kind.objects)
        if kind.needle:
            lengths[0] = GRID * rng.integers(4, 6)
        starts = [GRID * rng.integers(0, round((kind.seconds - length) / GRID) + 1) for length in lengths]
        if np.diff(np.sort(starts)).min() >= 1.0:
            return [Span(float(s), float(s + length)) for s, length in zip(starts, lengths, strict=True)]


def _place(rng: np.random.Generator, colour: str, shape: str, span: Span, others: list[Thing]) -> Thing:
    """A thing on a straight, slow path that keeps clear of the others; after 40 tries the clearest path found."""
    best, clearance = None, -np.inf
    for _ in range(40):
        diameter = int(rng.integers(18, 23))
        low, high = diameter / 2 + 1, SIZE - diameter / 2 - 1
        begin = rng.uniform(low, high, 2)
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(4, 14)
        finish = np.clip(begin + distance * np.array([np.cos(angle), np.sin(angle)]), low, high)
        thing = Thing(colour, shape, span, _pair(begin), _pair(finish), diameter)
        gap = min((_gap(thing, other) for other in others), default=np.inf)
        if gap > clearance:
            best, clearance = thing, gap
        if gap >= 2:
            break
    assert best is not None
    return best


def _gap(a: Thing, b: Thing) -> float:
    """Pixels between the bounding boxes of two things while both are visible, negative where they overlap."""
    start, end = max(a.span.start, b.span.start), min(a.span.end, b.span.end)
    if start >= end:
        return np.inf
    reach = (a.diameter + b.diameter) / 2
    gaps = []
    for second in np.linspace(start, end, 5):
        (ax, ay), (bx, by) = a.centre(float(second)), b.centre(float(second))
        gaps.append(max(abs(ax - bx), abs(ay - by)) - reach)
    return min(gaps)


def _pair(point: np.ndarray) -> tuple[float, float]:
    return float(point[0]), float(point[1])
