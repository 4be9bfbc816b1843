"""The training prompts that take part in a run, by index and by uid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from torch.utils.data import Dataset

from kairos.core.types import Failure, Prompt
from kairos.curriculum.order import Order
from kairos.curriculum.rewards import STATED, PromptRewards
from kairos.curriculum.selections import Selection, read_selection, unique_uids
from kairos.data.dataset import records_of, size_of
from kairos.data.repeats import WithRepeats


@dataclass
class PromptPool:
    """The prompts that take part.

    A prompt that a selection names several times is drawn as often, each time under another uid: these `repeats` have
    the indices after those of the data set.
    """

    dataset: Dataset[Prompt | Failure]
    order: Order
    """Says which prompts take part."""
    only_first: int | None = None
    """Keep only so many of them; None: all."""

    @cached_property
    def selection(self) -> Selection | None:
        """The selection that was made before the run; None: all prompts."""
        if self.order.selection is not None:
            return read_selection(self.order.selection)
        if self.order.subset is not None:
            return self.order.subset.selection(stated(self.dataset, self.order.subset.scale))
        return None

    @cached_property
    def uids(self) -> list[str]:
        """The uids of all prompts in the order of the data set, then those of the repeats."""
        return [*self._own_uids, *(uid for _, uid in self.repeats)]

    @cached_property
    def repeats(self) -> list[tuple[int, str]]:
        """(index of the prompt, new uid) for each time that the selection repeats a prompt."""
        if self.selection is None:
            return []
        named = zip(self.selection.uids, unique_uids(self.selection.uids, self._own_uids), strict=True)
        position = {uid: index for index, uid in enumerate(self._own_uids)}
        return [(position[uid], name) for uid, name in named if name != uid and uid in position]

    @cached_property
    def indices(self) -> list[int] | None:
        """Indices that the first epoch draws from; None: all."""
        if self.selection is not None:
            return self.find(Selection(tuple(unique_uids(self.selection.uids, self._own_uids))))[: self.only_first]
        return None if self.only_first is None else list(range(min(self.only_first, size_of(self.dataset))))

    def __len__(self) -> int:
        """The number of all prompts, repeats included."""
        return size_of(self.dataset) + len(self.repeats)

    def find(self, selection: Selection) -> list[int]:
        """The indices of the selected prompts. ValueError names those that the data lacks."""
        return selection.indices(self.uids)

    def names(self, indices: Sequence[int] | None) -> list[str]:
        """The names of the prompts at `indices` (None: of all)."""
        return self.uids if indices is None else [self.uids[index] for index in indices]

    def with_repeats(self, dataset: Dataset[Prompt | Failure]) -> Dataset[Prompt | Failure]:
        """`dataset` (the pool's own, in one or several wordings) with the repeats after each wording."""
        if not self.repeats:
            return dataset
        size = size_of(self.dataset)
        return WithRepeats(dataset, size, self.repeats, size_of(dataset) // size)

    @cached_property
    def _own_uids(self) -> list[str]:
        """The uids of the data set's prompts; ValueError if two are equal."""
        named = records_of(self.dataset) or [self.dataset[index] for index in range(size_of(self.dataset))]
        uids = [item.uid for item in named]
        if len(set(uids)) < len(uids):
            twice = next(uid for uid in uids if uids.count(uid) > 1)
            raise ValueError(f"a selection names prompts by their uid, but {twice} stands twice in the data")
        return uids


def stated(dataset: Dataset[Prompt | Failure], scale: float = 1.0) -> list[PromptRewards]:
    """One `PromptRewards` for each record, from its annotations alone; difficulties are multiplied by `scale`."""
    return [
        PromptRewards(
            uid=record.uid,
            task=record.task,
            source=record.source,
            terms={} if record.difficulty is None else {STATED: (scale * record.difficulty,)},
            duration=record.duration,
            length=max((span.length for span in record.target.spans), default=None),
        )
        for record in records_of(dataset)
    ]
