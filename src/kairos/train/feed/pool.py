"""Which training prompts take part in a run, by index into the data set and by name."""

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
    """The prompts of `dataset` that `order` lets take part, and of those only the first `only_first` (None: all).

    A prompt that a selection names several times is drawn as often, each time under another name: behind the data set's
    own indices come those of its `repeats`.
    """

    dataset: Dataset[Prompt | Failure]
    order: Order
    only_first: int | None = None

    @cached_property
    def selection(self) -> Selection | None:
        """The prompts that were chosen before the run; None: all."""
        if self.order.selection is not None:
            return read_selection(self.order.selection)
        if self.order.subset is not None:
            return self.order.subset.selection(stated(self.dataset, self.order.subset.scale))
        return None

    @cached_property
    def uids(self) -> list[str]:
        """The names of all prompts in the order of the data set, then those of the repeats."""
        return [*self._own_uids, *(uid for _, uid in self.repeats)]

    @cached_property
    def repeats(self) -> list[tuple[int, str]]:
        """(index, name) of every prompt that the selection names once more, for each time after the first."""
        if self.selection is None:
            return []
        named = zip(self.selection.uids, unique_uids(self.selection.uids, self._own_uids), strict=True)
        position = {uid: index for index, uid in enumerate(self._own_uids)}
        return [(position[uid], name) for uid, name in named if name != uid and uid in position]

    @cached_property
    def indices(self) -> list[int] | None:
        """What the first epoch draws from; None: all."""
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
        """`dataset`, this pool's own in one wording or in several, and behind each wording the repeats."""
        if not self.repeats:
            return dataset
        size = size_of(self.dataset)
        return WithRepeats(dataset, size, self.repeats, size_of(dataset) // size)

    @cached_property
    def _own_uids(self) -> list[str]:
        """ValueError when two prompts have the same name."""
        named = records_of(self.dataset) or [self.dataset[index] for index in range(size_of(self.dataset))]
        uids = [item.uid for item in named]
        if len(set(uids)) < len(uids):
            twice = next(uid for uid in uids if uids.count(uid) > 1)
            raise ValueError(f"a selection names prompts by their uid, but {twice} stands twice in the data")
        return uids


def stated(dataset: Dataset[Prompt | Failure], scale: float = 1.0) -> list[PromptRewards]:
    """What the records of a data set say of their prompts without any inference; difficulties times `scale`."""
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
