"""Answers a split into a folder of rows: batch by batch, by as many processes and shards as there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kairos.core.types import Sampling
from kairos.data.dataset import PromptDataset, size_of
from kairos.data.templates.schedule import in_phase
from kairos.evaluation.answered_rows import AnsweredRows, Shard
from kairos.evaluation.predictions import Prediction, answer_batches, complete
from kairos.progress import showing_progress
from kairos.train.callbacks.validation import greedy_engine
from kairos.train.devices import ranks
from kairos.train.feed.datamodule import PromptDataModule
from kairos.train.grpo import GRPOModule


def answer_rest(
    ready: Callable[[], GRPOModule],
    datamodule: PromptDataModule,
    split: str,
    count: int | None,
    size: int,
    rows: AnsweredRows,
    shard: Shard,
) -> list[Prediction] | None:
    """Answer those of the first `count` prompts of a split that nobody has answered yet, `size` at once.

    `ready` builds the weights; it is called only if something is left. Returns all predictions in the order of the
    split, failed prompts included, or None while other shards have rows to answer. Every process returns the same. A
    batch that was not finished is answered again as a whole, so that every answer is given in the same company.
    """
    dataset = in_phase(datamodule.dataset(split), 0)
    total = size_of(dataset) if count is None else min(count, size_of(dataset))
    mine = shard.of_rank(ranks.rank(), ranks.world())
    places = list(mine.places(total))
    chunks = [places[first : first + size] for first in range(0, len(places), size)]
    answered = rows.places()
    ranks.gather([None])  # nobody writes before everybody has read
    left = [chunk for chunk in chunks if not answered.issuperset(chunk)]
    if left:
        _answer(ready(), datamodule, split, size, rows, mine, left, len(places))
    ranks.gather([None])  # everybody has written
    answered = rows.places()
    if not answered.issuperset(range(total)):
        return None
    found = rows.predictions()
    if not isinstance(dataset, PromptDataset):
        return found
    many = dataset.template is not None and dataset.template.grammar.many
    return complete(found, dataset.records[:count], many)


def _answer(
    module: GRPOModule,
    datamodule: PromptDataModule,
    split: str,
    size: int,
    rows: AnsweredRows,
    mine: Shard,
    chunks: Sequence[Sequence[int]],
    total: int,
) -> None:
    engine = greedy_engine(module.engine)
    engine.setup(module.device)
    engine.sync(module.trained)
    todo = [place for chunk in chunks for place in chunk]
    greedy = Sampling(temperature=0.0, max_actions=module.sampling.max_actions, group_size=1)
    batches = datamodule.batches(split, size=size, indices=todo, shared=False)
    shown = ranks.main_process()
    with showing_progress(f"answering {split}", total if shown else 0, total - len(todo), shown=shown) as advance:
        for chunk, found in zip(chunks, answer_batches(engine, batches, greedy), strict=True):
            rows.append(mine, chunk, found)
            advance(len(found))
    engine.release()
