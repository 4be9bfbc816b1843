"""The order is a function of (seed, epoch, cursor, selection): nothing is remembered, nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kairos.curriculum.order import EpochBatches, Order, permutation


@given(st.integers(1, 300), st.integers(0, 2**31), st.integers(0, 1000))
def test_an_epoch_visits_every_prompt_once(size, seed, epoch):
    assert sorted(permutation(size, seed, epoch)) == list(range(size))


def test_seed_and_epoch_change_the_order_and_nothing_else_does():
    orders = {tuple(permutation(50, seed, epoch)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25
    assert permutation(50, 3, 4) == permutation(50, 3, 4)
    assert permutation(6, 0, 0) == [4, 3, 5, 2, 0, 1]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 40), st.booleans())
def test_ranks_share_each_step_and_an_incomplete_one_is_dropped(prompts, world, extra, shuffle):
    size = prompts * world + extra
    ranks = [list(EpochBatches(size, prompts, 0, 1, rank=rank, world=world, shuffle=shuffle)) for rank in range(world)]
    steps = size // (prompts * world)
    assert [len(batches) for batches in ranks] == [steps] * world
    assert all(len(batch) == prompts for batches in ranks for batch in batches)
    drawn = [index for step in range(steps) for batches in ranks for index in batches[step]]
    order = permutation(size, 0, 1) if shuffle else list(range(size))
    assert drawn == order[: steps * prompts * world]


def test_start_skips_steps_and_leaves_the_rest_as_it_was():
    whole = list(EpochBatches(23, 2, 5, 7, rank=1, world=2))
    for start in range(6):
        rest = EpochBatches(23, 2, 5, 7, start=start, rank=1, world=2)
        assert list(rest) == whole[start:] and len(rest) == 5 - start
    with pytest.raises(ValueError, match=r"start must lie in \[0, 5\]"):
        EpochBatches(23, 2, 5, 7, start=6, rank=1, world=2)


def test_iterating_twice_gives_the_same():
    batches = EpochBatches(10, 2, 0, 0)
    assert list(batches) == list(batches)


def test_only_selected_prompts_are_drawn_each_as_often_as_it_was_named():
    selection = [7, 3, 3, 19, 5, 11]
    drawn = [index for batch in EpochBatches(20, 2, 0, 0, selection=selection) for index in batch]
    assert sorted(drawn) == sorted(selection)
    in_order = [index for batch in EpochBatches(20, 2, 0, 0, shuffle=False, selection=selection) for index in batch]
    assert in_order == selection


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": 7, "prompts": 4, "world": 2}, "7 prompts are fewer than one step of 4 on each of 2 ranks"),
        ({"size": 0, "prompts": 1}, "0 prompts are fewer"),
        ({"size": 9, "prompts": 3, "selection": [1, 2]}, "2 prompts are fewer"),
        ({"size": 9, "prompts": 1, "selection": [1, 9]}, "outside a data set of 9"),
        ({"size": 9, "prompts": 1, "selection": [-1]}, "outside a data set of 9"),
        ({"size": 9, "prompts": 0}, "need prompts >= 1"),
        ({"size": 9, "prompts": 1, "rank": 1}, "rank 1, world 1"),
    ],
)
def test_an_order_that_cannot_be_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        EpochBatches(seed=0, epoch=0, **fields)


def test_prompts_are_shuffled_unless_told_otherwise():
    assert Order().shuffle and not Order(shuffle=False).shuffle
