"""Prompts that an epoch draws several times, each time under a name of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch.utils.data import Dataset

from kairos.core.types import Failure, Prompt


class Repeated(Dataset[Prompt | Failure]):
    """The first `size` items of `dataset`, and behind them those of `again`: (index, uid) of an item seen once more.

    Where `dataset` is `phases` times as long as `size` (the same items in several wordings), so is this.
    """

    def __init__(
        self, dataset: Dataset[Prompt | Failure], size: int, again: Sequence[tuple[int, str]], phases: int = 1
    ) -> None:
        self.dataset, self.size, self.again, self.phases = dataset, size, tuple(again), phases

    def __len__(self) -> int:
        return self.phases * (self.size + len(self.again))

    def __getitem__(self, index: int) -> Prompt | Failure:
        phase, place = divmod(index, self.size + len(self.again))
        if place < self.size:
            return self.dataset[phase * self.size + place]
        place, uid = self.again[place - self.size]
        return replace(self.dataset[phase * self.size + place], uid=uid)
