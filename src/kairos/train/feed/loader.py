"""Batches on their way from the data to the trainer: collated and counted, carried, unpacked, filled up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader

from kairos.core.types import Failure, Prompt, PromptBatch
from kairos.data.dataset import StandIns
from kairos.train.feed.parcel import Parcel, receive, send
from kairos.video.loader import filled


@dataclass(frozen=True)
class CountedBatch(PromptBatch):
    """A batch that knows how many of its clips had to be decoded because the store lacked them (`on_miss=fill`)."""

    misses: int = 0


class PromptLoader:
    """Batches as the trainer sees them: unpacked, and filled up by `stand_ins` where every prompt of one failed.

    `loaders` gives one loader after the other, each asked for when the one before it is done; `length` counts the
    batches of all. What stops a worker is raised here as what it is, without the worker's stack trace in its message.
    """

    def __init__(
        self,
        loaders: Callable[[], Iterator[DataLoader[PromptBatch]]],
        length: int,
        stand_ins: StandIns | None = None,
    ) -> None:
        self._loaders, self._length, self._stand_ins = loaders, length, stand_ins

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[PromptBatch]:
        for loader in self._loaders():
            yield from self._batches(loader)

    def _batches(self, loader: DataLoader[PromptBatch]) -> Iterator[PromptBatch]:
        batches = iter(loader)
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
class Collate:
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


def one_thread(worker: int) -> None:
    del worker
    torch.set_num_threads(1)
