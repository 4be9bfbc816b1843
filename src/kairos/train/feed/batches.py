"""Batches on their way from the data to the trainer: collated, carried out of the workers, unpacked, filled up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader

from kairos.core.types import Failure, Prompt, PromptBatch
from kairos.data.dataset import StandIns
from kairos.train.feed.parcel import Parcel, receive, send


class BatchStream:
    """Batches as the trainer sees them: unpacked, and filled up by `stand_ins` where every prompt of one failed.

    `loaders` gives one loader after the other, each asked for when the one before it is done; `length` counts the
    batches of all. A ValueError in a worker is raised here without the worker's stack trace in its message.
    """

    def __init__(
        self,
        loaders: Callable[[], Iterator[DataLoader[Prompt | Failure]]],
        length: int,
        stand_ins: StandIns | None = None,
    ) -> None:
        self._loaders, self._length, self._stand_ins = loaders, length, stand_ins

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[PromptBatch]:
        for loader in self._loaders():
            yield from self._batches(loader)

    def _batches(self, loader: DataLoader[Prompt | Failure]) -> Iterator[PromptBatch]:
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
class CollateAndSend:
    """In a loader's worker: collates, and packs the batch for the way to the trainer. Picklable."""

    collate: Callable[[Sequence[Prompt | Failure]], PromptBatch]

    def __call__(self, items: Sequence[Prompt | Failure]) -> Parcel:
        return send(self.collate(items))


def _without_trace(error: ValueError) -> str:
    """The loader writes a worker's whole stack trace into the message; the message proper follows the type's name."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return str(error).rpartition(f"\n{name}: ")[2].strip()


def one_thread(worker: int) -> None:
    """A worker process computes on one core."""
    del worker
    torch.set_num_threads(1)
