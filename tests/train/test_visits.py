"""Every prompt exactly once an epoch, counted through the real loop; nothing is sharded twice, nothing is left over."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from helpers.running import fit, rows

from kairos.train.feed.indices import IterationSampler, RankBatches


def visits(run: Path) -> list[list[str]]:
    """The prompts of every iteration, in the order of the log."""
    found: dict[int, list[str]] = {}
    for row in rows(run / "rollouts.jsonl"):
        if row["row"] == 0:
            found.setdefault(int(row["iteration"]), []).append(str(row["uid"]))  # type: ignore[call-overload]
    return [found[iteration] for iteration in sorted(found)]


@pytest.mark.parametrize("workers", [0, 2])
def test_each_prompt_is_visited_once_an_epoch(workers: int):
    run = fit("name=a", "iterations=20", "prompts=4", "sampling.group_size=2", f"workers={workers}")
    seen = visits(run.folder)
    assert [len(prompts) for prompts in seen] == [4] * 20
    epochs = [Counter(uid for prompts in seen[e * 4 : e * 4 + 4] for uid in prompts) for e in range(5)]
    assert all(len(epoch) == 16 and set(epoch.values()) == {1} for epoch in epochs), "an epoch is empty or uneven"
    orders = {tuple(uid for prompts in seen[e * 4 : e * 4 + 4] for uid in prompts) for e in range(5)}
    assert len(orders) == 5, "every epoch has an order of its own"


def test_the_order_is_the_seeds_alone():
    options = ["iterations=6", "sampling.group_size=2"]
    one, same = fit("name=one", *options), fit("name=same", "optimizer.learning_rate=0.1", *options)
    other = fit("name=other", "seed=1", *options)
    assert visits(one.folder) == visits(same.folder) != visits(other.folder)


def test_in_order_means_the_order_of_the_data_set():
    run = fit("name=a", "curriculum=in_order", "iterations=4", "sampling.group_size=2")
    assert [uid[-4:] for prompts in visits(run.folder) for uid in prompts] == [f"{i:04d}" for i in range(16)]


def test_an_incomplete_step_is_dropped_and_too_little_data_refused():
    run = fit("name=a", "prompts=5", "iterations=6", "sampling.group_size=2")
    epoch = Counter(uid for prompts in visits(run.folder)[:3] for uid in prompts)
    assert len(epoch) == 15 and set(epoch.values()) == {1}
    with pytest.raises(ValueError, match=r"16 prompts are fewer than one step of 17 on each of 1 ranks"):
        fit("name=b", "prompts=17", "iterations=1")


@pytest.mark.parametrize("start", [0, 3, 4, 9])
def test_ranks_share_an_epoch_and_a_resumed_sampler_goes_on(start: int):
    def draws(prompts: int, rank: int, world: int) -> RankBatches:
        return RankBatches(24, prompts, seed=0, shuffle=True, rank=rank, world=world, phase=lambda epoch: 0)

    def drawn(rank: int, world: int, start: int, prompts: int) -> list[list[int]]:
        return list(IterationSampler(draws(prompts, rank, world), None, 10, start))

    alone = drawn(0, 1, start, 6)
    halves = [drawn(rank, 2, start, 3) for rank in (0, 1)]
    assert alone == [left + right for left, right in zip(*halves, strict=True)]
    assert alone == drawn(0, 1, 0, 6)[start:]
    assert len(IterationSampler(draws(6, 0, 1), None, 10, start)) == 10
