"""Which indices every iteration of a rank draws: a function of (seed, iteration), so there is no loader state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch.utils.data import Sampler

from kairos.curriculum.order import EpochBatches


@dataclass(frozen=True)
class Draws:
    """The batches of every epoch for one rank, over a data set of `size`; `phase` is an epoch's wording."""

    size: int
    prompts: int
    seed: int
    shuffle: bool
    rank: int
    world: int
    phase: Callable[[int], int]

    def batches(self, epoch: int, pool: Sequence[int] | None, start: int = 0) -> EpochBatches:
        """Of the indices in `pool` (None: all), from step `start` on; in the first wording."""
        return EpochBatches(
            self.size, self.prompts, self.seed, epoch, start=start, rank=self.rank, world=self.world,
            shuffle=self.shuffle, selection=pool,
        )  # fmt: skip

    def worded(self, epoch: int, pool: Sequence[int] | None, start: int = 0) -> Iterator[list[int]]:
        """The same batches as indices into the data set of all wordings."""
        shift = self.size * self.phase(epoch)
        for batch in self.batches(epoch, pool, start):
            yield [index + shift for index in batch]


class IterationSampler(Sampler[list[int]]):
    """The indices of every iteration for one rank; iterating starts at `start`, the length counts all iterations.

    Lightning counts finished iterations against the length when it resumes, which is why the two differ.
    """

    def __init__(self, draws: Draws, pool: Sequence[int] | None, iterations: int, start: int) -> None:
        self.draws, self.pool, self.iterations, self.start = draws, pool, iterations, start
        self.per_epoch = draws.batches(0, pool).steps

    def __len__(self) -> int:
        return self.iterations

    def __iter__(self) -> Iterator[list[int]]:
        iteration = self.start
        while iteration < self.iterations:
            epoch, cursor = divmod(iteration, self.per_epoch)
            for indices in self.draws.worded(epoch, self.pool, cursor):
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

    def current(self, draws: Draws) -> Epoch: ...
