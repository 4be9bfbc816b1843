"""Injections: rollouts that the policy did not write, put into a group before it is scored."""

from __future__ import annotations

from dataclasses import dataclass

from kairos.core.types import Origin, Rollout, RolloutGroup


@dataclass(frozen=True)
class NoInjection:
    """The group as the policy wrote it."""

    def sampled(self, group_size: int) -> int:
        return group_size

    def __call__(self, group: RolloutGroup) -> RolloutGroup:
        return group


@dataclass(frozen=True)
class GroundTruth:
    """Adds the annotation, written by the template, to the group (TempSamp-R1).

    By default the engine writes G - 1 rows and the annotation is inserted (the paper). ValueError if the group would
    hold no row of the policy, `slot` lies outside it, or the prompt has no template.
    """

    slot: int = -1
    """Position of the annotation in the group."""
    overwrite: bool = False
    """The engine writes G rows and the annotation replaces the one at `slot` (the released code)."""
    append: bool = False
    """The engine writes G rows and the annotation follows as row G + 1; `slot` is unused (OraRL)."""

    def __post_init__(self) -> None:
        if self.overwrite and self.append:
            raise ValueError("an injection either overwrites a row or appends one: set one of overwrite and append")

    def sampled(self, group_size: int) -> int:
        if self.append:
            return group_size
        if group_size < 2:
            raise ValueError(f"sampling.group_size must be >= 2 where one row is the annotation, got {group_size}")
        return group_size if self.overwrite else group_size - 1

    def __call__(self, group: RolloutGroup) -> RolloutGroup:
        prompt = group.prompt
        if prompt.template is None:
            raise ValueError(f"prompt {prompt.uid!r} has no template to write its annotation with")
        written = Rollout(prompt.template.answer(prompt.target), actions_A=None, origin=Origin.GROUND_TRUTH)
        rows = list(group.rollouts)
        if self.append:
            return RolloutGroup(prompt, (*rows, written))
        size = len(rows) if self.overwrite else len(rows) + 1
        if not -size <= self.slot < size:
            raise ValueError(f"injection.slot {self.slot} lies outside a group of {size}")
        position = self.slot % size
        rows[position : position + self.overwrite] = [written]
        return RolloutGroup(prompt, tuple(rows))
