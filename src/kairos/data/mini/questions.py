"""Makes the questions of the mini world and their answers from a scene, for four tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kairos.core.spans import Span
from kairos.core.types import Target
from kairos.data.mini.scene import COLOURS, SHAPES, Scene, Thing, shapes_of

ORDER = {"first": "Which object appears first?", "last": "Which object appears last?"}
SHAPE = "Which shape is {}?"
COLOUR = "What colour is the {}?"
AND_WHEN = " and when is it visible?"


@dataclass(frozen=True)
class Question:
    """One question about one thing."""

    slug: str
    """Name of the question within its clip and task."""
    text: str
    thing: Thing
    """What the question is about."""
    options: tuple[str, ...] = ()
    choice: str | None = None


def slugs(scene: Scene, task: str) -> list[str]:
    """The slugs of all questions of a task about this scene, in a fixed order."""
    shown = range(len(scene.things))
    if task == "grounding":
        return [f"when-{i}" for i in shown]
    if task == "needle":
        return ["shape-0", "colour-0"]
    seen = [f"shape-{i}" for i in shown]
    seen += [f"colour-{i}" for i in shown if scene.shown_once(scene.things[i].shape)]
    return [*ORDER, *seen]


def ask(scene: Scene, task: str, slug: str, rng: np.random.Generator) -> Question:
    """The question that `slug` names; `rng` orders its options and draws the wrong ones."""
    if slug in ORDER:
        thing = scene.by_start[0 if slug == "first" else -1]
        text, right, wrong = ORDER[slug], thing.name, [t.name for t in scene.things if t is not thing]
    else:
        what, index = slug.split("-")
        thing = scene.things[int(index)]
        if what == "when":
            return Question(slug, f"the {thing.name}", thing)
        if what == "shape":
            text, right, wrong = SHAPE.format(thing.colour), thing.shape, _other_shapes(scene, thing, rng)
        else:
            text, right, wrong = COLOUR.format(thing.shape), thing.colour, _other_colours(scene, thing, rng)
    if task == "grounded_qa":
        text = text.removesuffix("?") + AND_WHEN
    place = int(rng.integers(len(wrong) + 1))
    options = [str(w) for w in rng.permutation(wrong)]
    options.insert(place, right)
    return Question(slug, text, thing, tuple(options), "ABCDEFGH"[place])


def target(question: Question, task: str, span: Span) -> Target:
    """The target of a question; `span` is the time of the thing, exact or loosened."""
    said = _said(question.thing, span, question.choice)
    return Target(
        spans=(span,) if task in ("grounding", "grounded_qa") else (),
        choice=question.choice,
        evidence=(span,) if task == "needle" else (),
        demonstration=said,
    )


def caption(scene: Scene, loosen: float, rng: np.random.Generator) -> str:
    """A line for each thing, earliest first: its name and its time, widened by up to `loosen` seconds on each side."""
    return "\n".join(_said(thing, _loose(scene, thing, loosen, rng)) for thing in scene.by_start)


def lettered_caption(scene: Scene, loosen: float, rng: np.random.Generator) -> tuple[tuple[str, ...], str, str]:
    """Options that name all things, and two captions: with each thing's letter after its name, and before it."""
    options = tuple(str(name) for name in rng.permutation([thing.name for thing in scene.things]))
    behind, before = [], []
    for thing in scene.by_start:
        letter, span = "ABCDEFGH"[options.index(thing.name)], _loose(scene, thing, loosen, rng)
        behind.append(_said(thing, span, letter))
        before.append(f"({letter}) {_said(thing, span)}")
    return options, "\n".join(behind), "\n".join(before)


def _loose(scene: Scene, thing: Thing, loosen: float, rng: np.random.Generator) -> Span:
    return loosened(thing.span, loosen, scene.kind.seconds, rng) if loosen else thing.span


def loosened(span: Span, seconds: float, within: float, rng: np.random.Generator) -> Span:
    """`span` widened at random by up to `seconds` on each side, within [0, `within`], rounded to a tenth."""
    earlier, later = rng.uniform(0, seconds, 2)
    return Span(round(max(0.0, span.start - earlier), 1), round(min(within, span.end + later), 1))


def _said(thing: Thing, span: Span, letter: str | None = None) -> str:
    listed = f" ({letter})" if letter else ""
    return f"{thing.name}{listed} {span.start:.1f} to {span.end:.1f}"


def _other_shapes(scene: Scene, thing: Thing, rng: np.random.Generator) -> list[str]:
    possible = [shape for shape in shapes_of(thing.colour, scene.kind.foreign) if shape != thing.shape]
    return _draw(possible, [other.shape for other in scene.things], 2, rng)


def _other_colours(scene: Scene, thing: Thing, rng: np.random.Generator) -> list[str]:
    possible = [c for c in COLOURS if thing.shape in shapes_of(c, scene.kind.foreign) and c != thing.colour]
    return _draw(possible, [other.colour for other in scene.things], 3, rng)


def _draw(possible: Sequence[str], shown: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """`count` wrong options, first those that the clip shows elsewhere, so that seeing one does not rule it out."""
    order = [str(p) for p in rng.permutation(list(possible))]
    return sorted(order, key=lambda name: name not in shown)[:count]


def wordings() -> list[str]:
    """Every question and option the mini world can write."""
    names = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
    choices = [*ORDER.values(), *(SHAPE.format(c) for c in COLOURS), *(COLOUR.format(s) for s in SHAPES)]
    both = [text.removesuffix("?") + AND_WHEN for text in choices]
    return [*(f"the {name}" for name in names), *names, *COLOURS, *SHAPES, *choices, *both]
