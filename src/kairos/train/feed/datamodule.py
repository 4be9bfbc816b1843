"""Streams prompts: which ones come in an iteration is a function of (seed, iteration), so there is no loader state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, cast

import lightning as L
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from kairos.core.types import Failure, Prompt, PromptBatch
from kairos.curriculum.order import Order
from kairos.curriculum.rewards import STATED, PromptRewards
from kairos.curriculum.selections import Selection, read_selection, unique_uids
from kairos.data.dataset import StandIns, records_of
from kairos.data.repeats import Repeated
from kairos.data.templates.schedule import all_phases, in_phase, schedule_of
from kairos.train.devices import ranks
from kairos.train.feed.loader import Collate, PromptLoader, one_thread
from kairos.train.feed.stream import Draws, Epochs, IterationSampler

if TYPE_CHECKING:
    from kairos.train.grpo import GRPOModule

_FEW = 2000


class PromptDataModule(L.LightningDataModule):
    """Prompts for training, `prompts` times `oversample` per rank and iteration, and a fixed set for validation.

    `order` says which of them take part; `only_first` leaves out all but the first so many of those.
    `train`, `val` and the `probes` (further sets of questions, by name) build their data set when they are first asked
    for it: that may render, decode or read files.
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
        oversample: int = 1,
        probes: Mapping[str, Callable[[], Dataset[Prompt | Failure]]] | None = None,
    ) -> None:
        super().__init__()
        if only_first is not None and only_first < 1:
            raise ValueError(f"only_first must be >= 1 prompt, or null for all, got {only_first}")
        self.only_first = only_first
        self.prompts, self.seed, self.workers, self.prefetch = prompts, seed, workers, prefetch
        self.oversample = oversample
        self.order = order or Order()
        self.epochs: Epochs | None = None
        self._builders = {**(probes or {}), "train": train, "val": val}
        self.probes = tuple(probes or ())
        if taken := {"train", "val"}.intersection(self.probes):
            raise ValueError(f"probes may not be called {', '.join(sorted(taken))}: data.train and data.val are")
        self._collate = collate
        self._sets: dict[str, Dataset[Prompt | Failure]] = {}
        self._trained_with: str | None = None

    def dataset(self, split: str) -> Dataset[Prompt | Failure]:
        if split not in self._builders:
            raise ValueError(f"there is no split {split}; there are {', '.join(sorted(self._builders))}")
        if split not in self._sets:
            self._sets[split] = self._builders[split]()
        return self._sets[split]

    # Which prompts take part

    @cached_property
    def selection(self) -> Selection | None:
        """The prompts that were chosen before the run; None: all. ValueError when a checkpoint knows of others."""
        order, found = self.order, None
        if order.selection is not None:
            found = read_selection(order.selection)
        elif order.subset is not None:
            found = order.subset.selection(stated(self.dataset("train"), order.subset.scale))
        if self._trained_with not in (None, "" if found is None else found.hash):
            raise ValueError(
                f"the run was begun with other prompts (hash {self._trained_with}) than curriculum selects now "
                f"({None if found is None else found.hash}): give the same selection, or start another run"
            )
        return found

    @cached_property
    def uids(self) -> list[str]:
        """The names of all training prompts in the order of the data, behind them those that are drawn once more."""
        return [*self._own_uids, *(uid for _, uid in self.again)]

    @cached_property
    def again(self) -> list[tuple[int, str]]:
        """(index, name) of what the selection names more than once, for every time after the first."""
        if self.selection is None:
            return []
        named = zip(self.selection.uids, unique_uids(self.selection.uids, self._own_uids), strict=True)
        position = {uid: index for index, uid in enumerate(self._own_uids)}
        return [(position[uid], name) for uid, name in named if name != uid and uid in position]

    @cached_property
    def _own_uids(self) -> list[str]:
        """ValueError when two prompts have the same name."""
        dataset = self.dataset("train")
        named = records_of(dataset) or [dataset[i] for i in range(len(dataset))]  # type: ignore[arg-type]
        uids = [item.uid for item in named]
        if len(set(uids)) < len(uids):
            twice = next(uid for uid in uids if uids.count(uid) > 1)
            raise ValueError(f"a selection names prompts by their uid, but {twice} stands twice in the data")
        return uids

    @cached_property
    def pool(self) -> list[int] | None:
        """Indices of the prompts that the first epoch draws from; None: all."""
        if self.selection is not None:
            named = Selection(tuple(unique_uids(self.selection.uids, self._own_uids)))
            return named.indices(self.uids)[: self.only_first]
        if self.only_first is None:
            return None
        return list(range(min(self.only_first, len(self.dataset("train")))))  # type: ignore[arg-type]

    def phase(self, epoch: int) -> int:
        """Whose wording the prompts of an epoch have: 0 without a schedule of templates."""
        schedule = schedule_of(self.dataset("train"))
        return 0 if schedule is None else schedule.phase(epoch)

    def state_dict(self) -> dict[str, object]:
        return {"selection": "" if self.selection is None else self.selection.hash}

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        self._trained_with = str(state_dict["selection"])

    # Loaders

    def train_dataloader(self) -> PromptLoader:
        if self.trainer is None:
            raise ValueError("the stream of training prompts belongs to a run: fit the data module with a trainer")
        module = cast("GRPOModule", self.trainer.lightning_module)
        dataset = self.dataset("train")
        draws = Draws(
            size=len(dataset) + len(self.again),  # type: ignore[arg-type]
            prompts=self.prompts * self.oversample,
            seed=self.seed,
            shuffle=self.order.shuffle,
            rank=ranks.rank(),
            world=ranks.world(),
            phase=self.phase,
        )
        worded = self._repeated(all_phases(dataset))
        if self.order.refilter is not None:
            return PromptLoader(partial(self._by_epoch, module, draws, worded), module.iterations, StandIns())
        sampler = IterationSampler(draws, self.pool, module.iterations, module.iteration)
        return PromptLoader([self._loader(worded, sampler, self.workers)].__iter__, module.iterations, StandIns())

    def _by_epoch(
        self, module: GRPOModule, draws: Draws, dataset: Dataset[Prompt | Failure]
    ) -> Iterator[DataLoader[PromptBatch]]:
        """A loader an epoch, made when the iterations before it are done, so that nothing is drawn too early."""
        if self.epochs is None:
            raise ValueError("curriculum.refilter needs its callback: callbacks.refilter must not be null")
        while module.iteration < module.iterations:
            epoch = self.epochs.current(draws)
            rest = draws.worded(epoch.number, epoch.pool, start=module.iteration - epoch.first)
            yield self._loader(dataset, list(islice(rest, module.iterations - module.iteration)), self.workers)

    def batches(
        self,
        split: str,
        count: int | None = None,
        size: int | None = None,
        indices: Sequence[int] | None = None,
        phase: int = 0,
    ) -> PromptLoader:
        """The first `count` prompts of a split (all of them by default) in order, this rank's share of them.

        `indices` names others. A few hundred prompts come from this process: starting workers would take longer.
        Where templates follow a schedule, `phase` says whose wording is meant.
        """
        dataset = in_phase(self.dataset(split), phase)
        chosen = list(range(len(dataset)) if indices is None else indices)[:count]  # type: ignore[arg-type]
        if indices is not None and split == "train":
            dataset = self._repeated(dataset)
        mine = chosen[ranks.rank() :: ranks.world()]
        step = size or self.prompts
        chunks = [mine[first : first + step] for first in range(0, len(mine), step)]
        loader = self._loader(dataset, chunks, self.workers if len(mine) > _FEW else 0)
        return PromptLoader([loader].__iter__, len(chunks))

    def _repeated(self, dataset: Dataset[Prompt | Failure]) -> Dataset[Prompt | Failure]:
        """The training prompts, in one wording or in all, and behind each wording those that are drawn once more."""
        if not self.again:
            return dataset
        size = len(self.dataset("train"))  # type: ignore[arg-type]
        return Repeated(dataset, size, self.again, len(dataset) // size)  # type: ignore[arg-type]

    def _loader(
        self, dataset: Dataset[Prompt | Failure], indices: Sampler[list[int]] | list[list[int]], workers: int
    ) -> DataLoader[PromptBatch]:
        loader = DataLoader(
            dataset,
            batch_sampler=indices,
            collate_fn=Collate(self._collate, send=workers > 0),
            num_workers=workers,
            prefetch_factor=self.prefetch if workers else None,
            worker_init_fn=one_thread if workers else None,
            pin_memory=workers > 0 and torch.cuda.is_available(),
        )
        return cast("DataLoader[PromptBatch]", loader)


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
