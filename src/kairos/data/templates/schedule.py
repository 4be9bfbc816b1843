"""A schedule of templates by epoch, for example without thinking first and with thinking later."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch.utils.data import ConcatDataset, Dataset

from kairos.core.grammar import Grammar
from kairos.core.types import Failure, Prompt, Target, Template


@runtime_checkable
class Describing(Protocol):
    """A template that gives its wording as plain data."""

    def describe(self) -> dict[str, str]: ...


@runtime_checkable
class Templated(Protocol):
    """A data set that gives its prompts a template."""

    template: Template | None


@dataclass(frozen=True)
class Phase:
    """Uses `template` for `epochs` epochs of the data; the last phase has no end."""

    template: Template
    epochs: int = 1

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"a phase lasts at least one epoch, got {self.epochs}")


@dataclass(frozen=True)
class Schedule:
    """Templates that follow each other (the two-phase training of TempSamp-R1).

    A data set may have a schedule as its template (`template=hybrid`); its prompts get the template of their epoch's
    phase. Used as a template itself, a schedule is its first phase.
    """

    phases: Mapping[str, Phase]
    """Phases by name, in order."""

    def __post_init__(self) -> None:
        if not self.phases:
            raise ValueError("a template schedule needs at least one phase")

    @property
    def names(self) -> list[str]:
        return list(self.phases)

    def phase(self, epoch: int) -> int:
        """The number of the phase of an epoch, both counted from 0."""
        for number, phase in enumerate(self.phases.values()):
            epoch -= phase.epochs
            if epoch < 0:
                return number
        return len(self.phases) - 1

    def template(self, phase: int) -> Template:
        return list(self.phases.values())[phase].template

    @property
    def grammar(self) -> Grammar:
        return self.template(0).grammar

    def messages(self, prompt: Prompt) -> list[dict[str, object]]:
        return self.template(0).messages(prompt)

    def answer(self, target: Target) -> str:
        return self.template(0).answer(target)

    def well_formed(self, text: str) -> bool:
        return self.template(0).well_formed(text)

    def describe(self) -> dict[str, str]:
        """The wordings of all phases as plain data, with keys `<phase>.<name>`."""
        said = {name: phase.template for name, phase in self.phases.items()}
        return {
            f"{name}.{key}": text
            for name, template in said.items()
            if isinstance(template, Describing)
            for key, text in template.describe().items()
        }


def schedule_of(dataset: Dataset[Prompt | Failure]) -> Schedule | None:
    """The schedule of a data set, or of the first of its parts that has one."""
    if isinstance(dataset, ConcatDataset):
        return next((found for part in dataset.datasets if (found := schedule_of(part)) is not None), None)
    template = dataset.template if isinstance(dataset, Templated) else None
    return template if isinstance(template, Schedule) else None


def in_phase(dataset: Dataset[Prompt | Failure], phase: int) -> Dataset[Prompt | Failure]:
    """The data set with the template of that phase; without a schedule the data set itself."""
    schedule = schedule_of(dataset)
    if schedule is None:
        return dataset
    clone = copy.copy(dataset)
    if isinstance(clone, ConcatDataset):
        clone.datasets = [in_phase(part, phase) for part in clone.datasets]
    elif isinstance(clone, Templated):
        clone.template = schedule.template(phase)
    return clone


def all_phases(dataset: Dataset[Prompt | Failure]) -> Dataset[Prompt | Failure]:
    """The data set once for each phase: item `phase * len(dataset) + index` is item `index` in that phase's wording."""
    schedule = schedule_of(dataset)
    if schedule is None:
        return dataset
    return ConcatDataset([in_phase(dataset, number) for number in range(len(schedule.phases))])
