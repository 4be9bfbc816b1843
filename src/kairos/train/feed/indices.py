"""Which prompts every iteration of a rank gets, as indices: a function of (seed, iteration)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch.utils.data import Sampler

from kairos.curriculum.order import EpochBatches


@dataclass(frozen=True)
class RankBatches:
    """The batches of every epoch for one rank, over a data set of `size`.

    `phase` gives the number of the wording that an epoch's prompts have.
    """

    size: int
    prompts: int
    seed: int
    shuffle: bool
    rank: int
    world: int
    phase: Callable[[int], int]

    def epoch(self, number: int, pool: Sequence[int] | None, start: int = 0) -> EpochBatches:
        """One epoch's batches of the indices in `pool` (None: all), from step `start` on, in the first wording."""
        return EpochBatches(
            self.size, self.prompts, self.seed, number, start=start, rank=self.rank, world=self.world,
            shuffle=self.shuffle, selection=pool,
        )  # fmt: skip

    def worded(self, number: int, pool: Sequence[int] | None, start: int = 0) -> Iterator[list[int]]:
        """The same batches as indices into the data set of all wordings."""
        shift = self.size * self.phase(number)
        for batch in self.epoch(number, pool, start):
            yield [index + shift for index in batch]


class IterationSampler(Sampler[list[int]]):
    """The indices of every iteration for one rank; iterating starts at `start`, the length counts all iterations.

    Lightning counts finished iterations against the length when it resumes, which is why the two differ.
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
    """One epoch of a re-filtered run: its number, its first iteration, and the indices it draws from (None: all)."""

    number: int
    first: int
    pool: Sequence[int] | None


class Epochs(Protocol):
    """Says which epoch a re-filtered run is in, and begins the next when the last is done: the callback Refilter."""

    def current(self, batches: RankBatches) -> Epoch: ...


@runtime_checkable
class Iterating(Protocol):
    """A module that counts its finished iterations, and knows how many there will be."""

    iteration: int
    iterations: int
