"""Streams prompts: which ones come in an iteration is a function of (seed, iteration), so there is no loader state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import lightning as L
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from kairos.core.types import Failure, Prompt, PromptBatch
from kairos.curriculum.order import EpochBatches, Order
from kairos.data.dataset import StandIns
from kairos.train import ranks
from kairos.train.travel import Parcel, receive, send
from kairos.video.loader import filled

_FEW = 2000


class IterationSampler(Sampler[list[int]]):
    """The indices of every iteration for one rank; iterating starts at `start`, the length counts all iterations.

    Lightning counts finished iterations against the length when it resumes, which is why the two differ.
    """

    def __init__(
        self, size: int, prompts: int, iterations: int, seed: int, start: int, rank: int, world: int, order: Order
    ) -> None:
        self.size, self.prompts, self.iterations, self.seed = size, prompts, iterations, seed
        self.start, self.rank, self.world, self.order = start, rank, world, order
        self.per_epoch = len(self._epoch(0, 0))

    def _epoch(self, epoch: int, start: int) -> EpochBatches:
        return EpochBatches(
            self.size, self.prompts, self.seed, epoch, start=start, rank=self.rank, world=self.world,
            shuffle=self.order.shuffle,
        )  # fmt: skip

    def __len__(self) -> int:
        return self.iterations

    def __iter__(self) -> Iterator[list[int]]:
        iteration = self.start
        while iteration < self.iterations:
            epoch, cursor = divmod(iteration, self.per_epoch)
            for indices in self._epoch(epoch, cursor):
                if iteration >= self.iterations:
                    return
                yield indices
                iteration += 1


class PromptDataModule(L.LightningDataModule):
    """Prompts for training, `prompts` per rank and iteration, and a fixed set for validation.

    `only_first` leaves out all but the first so many prompts for training.
    `train` and `val` build their data set when they are first asked for it: that may render, decode or read files.
    """

    def __init__(
        self,
        train: Callable[[], Dataset[Prompt | Failure]],
        val: Callable[[], Dataset[Prompt | Failure]],
        collate: Callable[[Sequence[Prompt | Failure]], PromptBatch],
        prompts: int,
        seed: int = 0,
        workers: int = 0,
        order: Order | None = None,
        prefetch: int = 2,
        only_first: int | None = None,
    ) -> None:
        super().__init__()
        if only_first is not None and only_first < 1:
            raise ValueError(f"only_first must be >= 1 prompt, or null for all, got {only_first}")
        self.only_first = only_first
        self.prompts, self.seed, self.workers, self.prefetch = prompts, seed, workers, prefetch
        self.order = order or Order()
        self._builders = {"train": train, "val": val}
        self._collate = collate
        self._sets: dict[str, Dataset[Prompt | Failure]] = {}

    def dataset(self, split: str) -> Dataset[Prompt | Failure]:
        if split not in self._sets:
            self._sets[split] = self._builders[split]()
        return self._sets[split]

    def train_dataloader(self) -> PromptLoader:
        module = self.trainer.lightning_module if self.trainer is not None else None
        size = len(self.dataset("train"))  # type: ignore[arg-type]
        sampler = IterationSampler(
            size=size if self.only_first is None else min(size, self.only_first),
            prompts=self.prompts,
            iterations=module.iterations,  # type: ignore[union-attr]
            seed=self.seed,
            start=module.iteration,  # type: ignore[union-attr]
            rank=ranks.rank(),
            world=ranks.world(),
            order=self.order,
        )
        return PromptLoader(self._loader(self.dataset("train"), sampler, self.workers), StandIns())

    def batches(self, split: str, count: int | None = None, size: int | None = None) -> PromptLoader:
        """The first `count` prompts of a split (all of them by default) in order, this rank's share of them.

        A few hundred prompts come from this process: starting workers would take longer.
        """
        dataset = self.dataset(split)
        total = len(dataset) if count is None else min(count, len(dataset))  # type: ignore[arg-type]
        mine = list(range(ranks.rank(), total, ranks.world()))
        step = size or self.prompts
        chunks = [mine[first : first + step] for first in range(0, len(mine), step)]
        return PromptLoader(self._loader(dataset, chunks, self.workers if len(mine) > _FEW else 0))

    def _loader(
        self, dataset: Dataset[Prompt | Failure], indices: Sampler[list[int]] | list[list[int]], workers: int
    ) -> DataLoader[PromptBatch]:
        loader = DataLoader(
            dataset,
            batch_sampler=indices,
            collate_fn=_Collate(self._collate, send=workers > 0),
            num_workers=workers,
            prefetch_factor=self.prefetch if workers else None,
            worker_init_fn=_one_thread if workers else None,
            pin_memory=workers > 0 and torch.cuda.is_available(),
        )
        return cast("DataLoader[PromptBatch]", loader)


@dataclass(frozen=True)
class CountedBatch(PromptBatch):
    """A batch that knows how many of its clips had to be decoded because the store lacked them (`on_miss=fill`)."""

    misses: int = 0


class PromptLoader:
    """Batches as the trainer sees them: unpacked, and filled up by `stand_ins` where every prompt of one failed.

    What stops a worker is raised here as what it is, without the worker's stack trace in its message.
    """

    def __init__(self, loader: DataLoader[PromptBatch], stand_ins: StandIns | None = None) -> None:
        self._loader, self._stand_ins = loader, stand_ins

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[PromptBatch]:
        batches = iter(self._loader)
        while True:
            try:
                batch = next(batches, None)
            except ValueError as error:
                raise type(error)(_without_trace(error)) from error
            if batch is None:
                return
            batch = receive(batch) if isinstance(batch, Parcel) else batch
            yield batch if self._stand_ins is None else self._stand_ins(batch)


@dataclass(frozen=True)
class _Collate:
    """Collates, counts what the store lacked, and packs for the way where the batch is made in a worker; picklable."""

    collate: Callable[[Sequence[Prompt | Failure]], PromptBatch]
    send: bool

    def __call__(self, items: Sequence[Prompt | Failure]) -> PromptBatch | Parcel:
        batch = self.collate(items)
        misses = sum(filled(item.clip) for item in items if isinstance(item, Prompt))
        counted = CountedBatch(batch.prompts, batch.weights_P, batch.failures, misses)
        return send(counted) if self.send else counted


def _without_trace(error: ValueError) -> str:
    """The loader writes a worker's whole stack trace into the message; the message proper follows the type's name."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return str(error).rpartition(f"\n{name}: ")[2].strip()


def _one_thread(worker: int) -> None:
    del worker
    torch.set_num_threads(1)
