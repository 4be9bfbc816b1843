"""The order of prompts as a pure function of (seed, epoch, step, selection): without state, so resume is exact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kairos.core.seeds import uniforms
from kairos.curriculum.subset import Refiltering, Subset


def permutation(size: int, seed: int, epoch: int) -> list[int]:
    """The numbers 0 to size - 1 in the order of one epoch, the same on every machine and library version."""
    return uniforms(seed, "order", 1, size, first_row=epoch)[0].argsort(stable=True).tolist()


@dataclass(frozen=True)
class Order:
    """Draws every prompt that takes part once an epoch."""

    shuffle: bool = True
    """Shuffle anew each epoch; otherwise in the order of the data set."""
    selection: str | None = None
    """A selection file that names the prompts that take part; None: all."""
    subset: Subset | None = None
    """Chooses the prompts that take part before the run; None: all."""
    refilter: Refiltering | None = None
    """Chooses again after every epoch; None: never."""

    def __post_init__(self) -> None:
        if self.selection is not None and self.subset is not None:
            raise ValueError("curriculum.selection and curriculum.subset both say which prompts take part: keep one")


@dataclass(frozen=True)
class EpochBatches:
    """The batches of one epoch for one rank: lists of `prompts` indices into the data set.

    Every step draws `prompts * world` indices in the epoch's order, and each rank gets its slice; the last incomplete
    step is dropped. ValueError if there are fewer prompts than one step draws.
    """

    size: int
    """Prompts in the data set."""
    prompts: int
    """Prompts per rank and step."""
    seed: int
    epoch: int
    start: int = 0
    """Steps of the epoch to skip (resume)."""
    rank: int = 0
    world: int = 1
    """Number of ranks."""
    shuffle: bool = True
    selection: Sequence[int] | None = None
    """Indices of the prompts that take part, in order; None: all."""

    def __post_init__(self) -> None:
        if self.prompts < 1 or not 0 <= self.rank < self.world:
            raise ValueError(
                f"need prompts >= 1 and 0 <= rank < world, got {self.prompts}, rank {self.rank}, world {self.world}"
            )
        if self.selection is not None and any(not 0 <= index < self.size for index in self.selection):
            raise ValueError(f"the selection names prompts outside a data set of {self.size}")
        if self._pool < self.prompts * self.world:
            raise ValueError(
                f"{self._pool} prompts are fewer than one step of {self.prompts} on each of {self.world} ranks: "
                "lower `prompts`, or give more data"
            )
        if not 0 <= self.start <= self.steps:
            raise ValueError(f"start must lie in [0, {self.steps}], the steps of one epoch, got {self.start}")

    @property
    def steps(self) -> int:
        """Steps of the whole epoch, before `start` is skipped."""
        return self._pool // (self.prompts * self.world)

    @property
    def _pool(self) -> int:
        return self.size if self.selection is None else len(self.selection)

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self) -> Iterator[list[int]]:
        order = permutation(self._pool, self.seed, self.epoch) if self.shuffle else list(range(self._pool))
        if self.selection is not None:
            order = [self.selection[index] for index in order]
        for step in range(self.start, self.steps):
            begin = (step * self.world + self.rank) * self.prompts
            yield order[begin : begin + self.prompts]
