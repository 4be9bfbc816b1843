"""Delivers batches from data loaders to the trainer: collates, transfers and unpacks them, and fills empty ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch.utils.data import DataLoader

from kairos.core.types import Failure, Prompt, PromptBatch
from kairos.data.dataset import StandIns
from kairos.train.feed.parcel import Parcel, receive, send


class BatchStream:
    """The batches that the trainer sees: unpacked, and filled by `stand_ins` if every prompt of a batch failed.

    `data_loaders` yields data loaders, the next when the previous one is finished; `length` is the number of batches of
    all of them and of the `before` that an earlier session used. A ValueError in a worker is raised here without the
    worker's stack trace in its message. RuntimeError where there are fewer batches than that: a StopIteration in a data
    set, a template or an enrichment is no end of the data. With `paired` a batch holds the one that follows it, unless
    that is another data loader's.
    """

    def __init__(
        self,
        data_loaders: Callable[[], Iterator[DataLoader[Prompt | Failure]]],
        length: int,
        stand_ins: StandIns | None = None,
        before: int = 0,
        paired: bool = False,
    ) -> None:
        self._data_loaders, self._length, self._stand_ins = data_loaders, length, stand_ins
        self._before, self._paired = before, paired

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[PromptBatch]:
        given, end = self._before, None
        for data_loader in self._data_loaders():
            batches, held = iter(data_loader), None
            while True:
                try:
                    batch = next(batches)
                except StopIteration as stopped:
                    end = stopped
                    break
                except ValueError as error:
                    raise type(error)(_without_trace(error)) from error
                given += 1
                batch = receive(batch) if isinstance(batch, Parcel) else batch
                batch = batch if self._stand_ins is None else self._stand_ins(batch)
                if not self._paired:
                    yield batch
                elif held is not None:
                    yield replace(held, following=batch)
                held = batch if self._paired else None
            if held is not None:
                yield held
        if given < self._length:
            raise RuntimeError(f"the data ended after {given} of {self._length} batches") from end


@dataclass(frozen=True)
class CollateAndSend:
    """The `collate_fn` of a data loader with workers: collates and packs the batch. Picklable."""

    collate: Callable[[Sequence[Prompt | Failure]], PromptBatch]

    def __call__(self, items: Sequence[Prompt | Failure]) -> Parcel:
        return send(self.collate(items))


def _without_trace(error: ValueError) -> str:
    """The message of a worker's error without the stack trace that torch's data loader puts before it."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return str(error).rpartition(f"\n{name}: ")[2].strip()


def one_thread(worker: int) -> None:
    """The `worker_init_fn`: a worker process uses one thread."""
    del worker
    torch.set_num_threads(1)
