"""The prompt indices of each iteration and rank, as a function of (seed, iteration)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch.utils.data import Sampler

from kairos.curriculum.order import EpochBatches


@dataclass(frozen=True)
class RankBatches:
    """The batches of every epoch for one rank."""

    size: int
    """Prompts in the data set."""
    prompts: int
    """Prompts per rank and iteration."""
    seed: int
    shuffle: bool
    rank: int
    world: int
    """Number of ranks."""
    phase: Callable[[int], int]
    """(epoch) -> phase of the template schedule."""

    def epoch(self, number: int, pool: Sequence[int] | None, start: int = 0) -> EpochBatches:
        """One epoch's batches of the indices in `pool` (None: all), from step `start` on, in the first wording."""
        return EpochBatches(
            self.size, self.prompts, self.seed, number, start=start, rank=self.rank, world=self.world,
            shuffle=self.shuffle, selection=pool,
        )  # fmt: skip

    def worded(self, number: int, pool: Sequence[int] | None, start: int = 0) -> Iterator[list[int]]:
        """The same batches as indices into the data set of all phases (`all_phases`)."""
        shift = self.size * self.phase(number)
        for batch in self.epoch(number, pool, start):
            yield [index + shift for index in batch]


class IterationSampler(Sampler[list[int]]):
    """Yields the indices of each iteration for one rank from iteration `start` on; its length is that of the whole run.

    Lightning compares the length with all finished iterations when it resumes.
    """

    def __init__(self, batches: RankBatches, pool: Sequence[int] | None, iterations: int, start: int) -> None:
        self.batches, self.pool, self.iterations, self.start = batches, pool, iterations, start
        self.per_epoch = batches.epoch(0, pool).steps

    def __len__(self) -> int:
        return self.iterations

    def __iter__(self) -> Iterator[list[int]]:
        iteration = self.start
        while iteration < self.iterations:
            epoch, cursor = divmod(iteration, self.per_epoch)
            for indices in self.batches.worded(epoch, self.pool, cursor):
                if iteration >= self.iterations:
                    return
                yield indices
                iteration += 1


@dataclass(frozen=True)
class Epoch:
    """One epoch of a re-filtered run."""

    number: int
    first: int
    """Its first iteration."""
    pool: Sequence[int] | None
    """Indices that it draws from; None: all."""


class Epochs(Protocol):
    """Gives the current epoch of a re-filtered run, and begins the next one when it is finished (callback Refilter)."""

    def current(self, batches: RankBatches) -> Epoch: ...


@runtime_checkable
class Iterating(Protocol):
    """A module that knows the number of its finished iterations and of all iterations."""

    iteration: int
    iterations: int
