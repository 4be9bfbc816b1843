"""What became of one fault, and what a kind of fault is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Protocol


class NotHere(Exception):
    """This machine cannot try a kind of fault."""


class Verdict(StrEnum):
    """What became of one fault."""

    SURVIVED = "survived"
    """The result is that of a run without the fault, bit for bit."""
    NAMED = "named"
    """The program refused to go on, with an error that names the file, row or process."""
    LOST = "lost"
    """Another result without a word, an error that names nothing, or a program that does not end."""


@dataclass(frozen=True)
class Outcome:
    """The verdict on one trial."""

    verdict: Verdict
    what: str
    """What was broken, and where."""
    said: str = ""
    """What the program said; of a lost trial, what is wrong."""
    seconds: float | None = None
    """How far from its time a frame was given, at most, where that was measured."""


class Kind(Protocol):
    """A kind of fault. Trial `number` is a function of the benchmark's seed, so each can be repeated alone."""

    @property
    def name(self) -> str: ...

    @property
    def trials(self) -> int:
        """How many trials the whole benchmark makes."""
        ...

    def prepare(self, work: Path) -> None:
        """Make in `work` what all trials of this kind start from. May be called again when it is there already.

        NotHere if this machine cannot try it.
        """
        ...

    def attempt(self, work: Path, trial: Path, chance: Random, number: int) -> Outcome:
        """Break one thing, in the empty folder `trial`; which and where is drawn from `chance`."""
        ...


def named(text: str, *names: str) -> bool:
    """Whether the text names one of these."""
    return any(name in text for name in names)


def last_lines(text: str, count: int = 3) -> str:
    """The last lines that say something, in one."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "HYDRA_FULL_ERROR" not in line]
    return " | ".join(lines[-count:])[-600:]
