"""The rubric: a reward that is the weighted sum of named, shaped terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from kairos.core.answers import read
from kairos.core.protocols import Shape
from kairos.core.types import RolloutGroup, Scores
from kairos.credit.shapes import Identity

_CRASHES = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NameError, OSError, RuntimeError, StopIteration,
    TypeError, ValueError,
)  # fmt: skip


_LONGEST = 2000


class RewardTerm(Protocol):
    """(group) -> [G] float32, raw: neither shaped nor weighted."""

    def __call__(self, group: RolloutGroup) -> Tensor: ...


class RewardError(ValueError):
    """A term or its shape crashed or returned an invalid reward.

    The message names the prompt, the term and the completion; `part` is the shape's name where the shape failed.
    """

    def __init__(self, uid: str, term: str, text: str, problem: str, part: str = "") -> None:
        whose = f"the shape {part} of reward term {term!r}" if part else f"reward term {term!r}"
        super().__init__(f"{whose} failed on prompt {uid!r}: {problem}\ncompletion: {_cut(text)}")
        self.uid, self.term, self.text, self.part = uid, term, text, part


@dataclass(frozen=True)
class Weighted:
    """One term of a rubric with its weight."""

    term: RewardTerm
    weight: float = 1.0
    shape: Shape = field(default_factory=Identity)
    """[G] -> [G], applied to the raw term before weighting."""
    tasks: Sequence[str] | None = None
    """Names of the tasks that the term scores; None: all."""

    def __post_init__(self) -> None:
        if isinstance(self.tasks, str):
            raise ValueError(f"tasks is a list of task names, got the string {self.tasks!r}")

    def scores(self, task: str) -> bool:
        return self.tasks is None or task in self.tasks


@dataclass(frozen=True)
class Rubric:
    """total = sum of weight * shape(raw) over the terms that score the prompt's task.

    `Scores.terms` holds the raw terms that applied. Without any term the reward is 0 (supervised learning). RewardError
    if a term or a shape crashes, or returns another size than [G] or a number that is not finite; ValueError if no term
    scores the prompt's task.
    """

    terms: Mapping[str, Weighted | None]
    """By name; None removes a term that a configuration inherits."""

    def __call__(self, group: RolloutGroup) -> Scores:
        prompt = group.prompt
        terms = {name: weighted for name, weighted in self.terms.items() if weighted is not None}
        applied = {name: weighted for name, weighted in terms.items() if weighted.scores(prompt.task)}
        if terms and not applied:
            raise ValueError(
                f"prompt {prompt.uid!r}: no term of the rubric ({', '.join(terms)}) scores task {prompt.task!r}; "
                f"add one, or add the task to a term's `tasks`"
            )
        raw = {name: _raw(name, weighted.term, group) for name, weighted in applied.items()}
        shaped = {name: _shaped(name, weighted.shape, raw[name], group) for name, weighted in applied.items()}
        total_G = sum((w.weight * shaped[name] for name, w in applied.items()), torch.zeros(len(group)))
        return Scores(raw, total_G, _reasons(group))


def _raw(name: str, term: RewardTerm, group: RolloutGroup) -> Tensor:
    try:
        values_G = term(group).to(torch.float32)
    except _CRASHES as error:
        problem = f"{type(error).__name__}: {error}"
        raise RewardError(group.prompt.uid, name, _culprit(term, group), problem) from error
    return _checked(values_G, name, group)


def _shaped(name: str, shape: Shape, raw_G: Tensor, group: RolloutGroup) -> Tensor:
    try:
        values_G = shape(raw_G)
    except _CRASHES as error:
        problem = f"{type(error).__name__}: {error}\nof the raw rewards {raw_G.tolist()}"
        raise RewardError(group.prompt.uid, name, _shown(group), problem, _named(shape)) from error
    return _checked(values_G, name, group, _named(shape), raw_G)


def _checked(values_G: Tensor, name: str, group: RolloutGroup, part: str = "", raw_G: Tensor | None = None) -> Tensor:
    """The values of a term, or of its shape `part` for the raw values `raw_G`. RewardError if they are no rewards."""
    if values_G.shape != (len(group),):
        problem = f"it returned shape {tuple(values_G.shape)} for {len(group)} rollouts"
        raise RewardError(group.prompt.uid, name, _shown(group), problem, part)
    if not torch.isfinite(values_G).all():
        row = int((~torch.isfinite(values_G)).nonzero()[0])
        problem = f"it returned {float(values_G[row])}" + ("" if raw_G is None else f" for {float(raw_G[row])}")
        raise RewardError(group.prompt.uid, name, group.rollouts[row].text, problem, part)
    return values_G


def _culprit(term: RewardTerm, group: RolloutGroup) -> str:
    """The first completion that crashes the term alone; all completions if none does."""
    for rollout in group.rollouts:
        try:
            term(RolloutGroup(group.prompt, (rollout,)))
        except _CRASHES:
            return rollout.text
    return _shown(group)


def _named(part: object) -> str:
    """A part with its settings where it tells them, else its name: never an address in memory."""
    told = repr(part)
    return told if " at 0x" not in told else getattr(part, "__qualname__", type(part).__name__)


def _cut(text: str) -> str:
    """A completion shortened for a message; the error's `text` keeps all of it."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def _shown(group: RolloutGroup) -> str:
    return " | ".join(rollout.text for rollout in group.rollouts)


def _reasons(group: RolloutGroup) -> tuple[str | None, ...]:
    prompt = group.prompt
    if prompt.template is None:
        return (None,) * len(group)
    grammar = prompt.template.grammar
    return tuple(prompt.target.reason(read(rollout.text, grammar)) for rollout in group.rollouts)
