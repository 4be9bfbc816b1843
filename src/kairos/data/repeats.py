"""A data set that repeats some of its prompts under other uids, so that an epoch draws them several times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch.utils.data import Dataset

from kairos.core.types import Failure, Prompt


class WithRepeats(Dataset[Prompt | Failure]):
    """The `size` items of `dataset`, then its `repeats`: (index of an item, the uid of its repetition).

    If `dataset` holds its items in several wordings (`phases`) one after another, the repeats follow each wording.
    """

    def __init__(
        self, dataset: Dataset[Prompt | Failure], size: int, repeats: Sequence[tuple[int, str]], phases: int = 1
    ) -> None:
        self.dataset, self.size, self.repeats, self.phases = dataset, size, tuple(repeats), phases

    def __len__(self) -> int:
        return self.phases * (self.size + len(self.repeats))

    def __getitem__(self, index: int) -> Prompt | Failure:
        phase, place = divmod(index, self.size + len(self.repeats))
        if place < self.size:
            return self.dataset[phase * self.size + place]
        place, uid = self.repeats[place - self.size]
        return replace(self.dataset[phase * self.size + place], uid=uid)
