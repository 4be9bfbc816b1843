"""The Lightning data module. The prompts of an iteration are a function of (seed, iteration), so it has no state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import islice

import lightning as L
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from kairos.core.protocols import Foresees
from kairos.core.types import Failure, Prompt, PromptBatch
from kairos.curriculum.order import Order
from kairos.data.dataset import StandIns, records_of, size_of
from kairos.data.templates.schedule import all_phases, in_phase, schedule_of
from kairos.train.devices import ranks
from kairos.train.feed.batches import BatchStream, CollateAndSend, one_thread
from kairos.train.feed.indices import Epochs, Iterating, IterationSampler, RankBatches
from kairos.train.feed.pool import PromptPool

_FEW = 2000


class PromptDataModule(L.LightningDataModule):
    """Prompts for training, `prompts` times `oversample` per rank and iteration, and a fixed set for validation.

    `order` says which prompts take part; `only_first` keeps only so many of them. `train`, `val` and the `probes`
    (further question sets, by name) build their data sets at first use, which may render, decode or read files.
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
        self._epochs: Epochs | None = None
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

    @cached_property
    def pool(self) -> PromptPool:
        """The training prompts that take part. ValueError if the checkpoint was trained on others."""
        pool = PromptPool(self.dataset("train"), self.order, self.only_first)
        hash_now = "" if pool.selection is None else pool.selection.hash
        if self._trained_with not in (None, hash_now):
            raise ValueError(
                f"the run was begun with other prompts (hash {self._trained_with}) than curriculum selects now "
                f"({hash_now or None}): give the same selection, or start another run"
            )
        return pool

    def follow(self, epochs: Epochs) -> None:
        """Let `epochs` decide which prompts each epoch draws from (`curriculum.refilter`)."""
        self._epochs = epochs

    def phase(self, epoch: int) -> int:
        """The phase of the template schedule in an epoch; 0 without a schedule."""
        schedule = schedule_of(self.dataset("train"))
        return 0 if schedule is None else schedule.phase(epoch)

    def state_dict(self) -> dict[str, object]:
        return {"selection": "" if self.pool.selection is None else self.pool.selection.hash}

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        self._trained_with = str(state_dict["selection"])

    # Data loaders

    def train_dataloader(self) -> BatchStream:
        module = None if self.trainer is None else self.trainer.lightning_module
        if not isinstance(module, Iterating):
            raise ValueError("the stream of training prompts belongs to a run: fit the data module with a trainer")
        batches = RankBatches(
            size=len(self.pool),
            prompts=self.prompts * self.oversample,
            seed=self.seed,
            shuffle=self.order.shuffle,
            rank=ranks.rank(),
            world=ranks.world(),
            phase=self.phase,
        )
        foresees = isinstance(getattr(module, "engine", None), Foresees)
        stand_ins = StandIns(self.dataset("train"), self.seed)
        worded = self.pool.with_repeats(all_phases(self.dataset("train")))
        if self.order.refilter is not None:
            by_epoch = partial(self._by_epoch, module, batches, worded)
            return BatchStream(by_epoch, module.iterations, stand_ins, before=module.iteration, paired=foresees)
        sampler = IterationSampler(batches, self.pool.indices, module.iterations, module.iteration)
        data_loaders = [self._data_loader(worded, sampler, self.workers)]
        return BatchStream(
            data_loaders.__iter__, module.iterations, stand_ins, before=module.iteration, paired=foresees
        )

    def _by_epoch(
        self, module: Iterating, batches: RankBatches, dataset: Dataset[Prompt | Failure]
    ) -> Iterator[DataLoader[Prompt | Failure]]:
        """A data loader for each epoch, made when the last epoch is finished, so that no prompt is drawn too early."""
        if self._epochs is None:
            raise ValueError("curriculum.refilter needs its callback: callbacks.refilter must not be null")
        while module.iteration < module.iterations:
            epoch = self._epochs.current(batches)
            rest = batches.worded(epoch.number, epoch.pool, start=module.iteration - epoch.first)
            yield self._data_loader(dataset, list(islice(rest, module.iterations - module.iteration)), self.workers)

    def named(self, split: str, uids: Collection[str]) -> list[Prompt]:
        """The prompts of these names that load, in the order of the split; none where it has no records to go by."""
        dataset = self.dataset(split)
        items = [dataset[place] for place, record in enumerate(records_of(dataset)) if record.uid in uids]
        return [item for item in items if isinstance(item, Prompt)]

    def batches(
        self,
        split: str,
        count: int | None = None,
        size: int | None = None,
        indices: Sequence[int] | None = None,
        phase: int = 0,
        shared: bool = True,
    ) -> BatchStream:
        """This rank's share of the first `count` prompts of a split (default: all), in order, or of those at `indices`.

        Unless they are `shared`: then this rank gets them all.

        Up to 2,000 prompts are loaded in this process: starting workers would take longer. `phase` chooses the template
        of a schedule.
        """
        dataset = in_phase(self.dataset(split), phase)
        chosen = list(range(size_of(dataset)) if indices is None else indices)[:count]
        if indices is not None and split == "train":
            dataset = self.pool.with_repeats(dataset)
        mine = chosen[ranks.rank() :: ranks.world()] if shared else chosen
        step = size or self.prompts
        chunks = [mine[first : first + step] for first in range(0, len(mine), step)]
        data_loader = self._data_loader(dataset, chunks, self.workers if len(mine) > _FEW else 0)
        return BatchStream([data_loader].__iter__, len(chunks))

    def _data_loader(
        self, dataset: Dataset[Prompt | Failure], indices: Sampler[list[int]] | list[list[int]], workers: int
    ) -> DataLoader[Prompt | Failure]:
        return DataLoader(
            dataset,
            batch_sampler=indices,
            collate_fn=CollateAndSend(self._collate) if workers else self._collate,
            num_workers=workers,
            prefetch_factor=self.prefetch if workers else None,
            worker_init_fn=one_thread if workers else None,
            pin_memory=workers > 0 and torch.cuda.is_available(),
        )
