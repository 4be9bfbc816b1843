"""Dynamic sampling: what is drawn, what is learned from, and what is logged of the shortfall."""

from __future__ import annotations

import pytest
import torch
from helpers.running import TOY, curve, fit, rows

from kairos.cli import UserError, user_errors
from kairos.compose import build
from kairos.train.oversampling import kept

ONE, NONE = torch.ones(2), torch.zeros(2)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([ONE, ONE, ONE, ONE], [0, 1]), ([NONE, ONE, NONE, ONE], [1, 3]), ([NONE, NONE, NONE, ONE], [0, 3]),
        ([NONE] * 4, [0, 1]), ([torch.tensor([0.0, 0.5]), NONE, NONE, ONE], [0, 3]),
    ],
)  # fmt: skip
def test_the_first_useful_groups_are_kept_and_others_fill_up(weights: list[torch.Tensor], expected: list[int]):
    assert kept(weights, 2) == expected


def test_twice_as_many_prompts_are_drawn_and_the_useful_half_is_learned():
    run = fit("name=a", "method=dapo", "iterations=3", "sampling.group_size=2", "sampling.max_actions=3")
    written = rows(run.folder / "rollouts.jsonl")
    assert len({(row["iteration"], row["uid"]) for row in written}) == 3 * 8, "all that is drawn is logged"
    batch = run.module.rollouts
    assert batch is not None and len(batch.prompts) == 4
    last = [row for row in written if row["iteration"] == 3]
    useful = list(dict.fromkeys(row["uid"] for row in last if row["weight"]))
    assert [p.uid for p, w in zip(batch.prompts, batch.weights_B[::2], strict=True) if w] == useful
    assert len(useful) <= 4, "what was drawn and not learned from has weight 0"
    learned = [{row["uid"] for row in written if row["iteration"] == i and row["weight"]} for i in (1, 2, 3)]
    spread = [{row["uid"] for row in written if row["iteration"] == i and row["advantage"]} for i in (1, 2, 3)]
    assert max(map(len, learned)) == 4 and any(len(able) > 4 for able in spread), "more than 4 had something to teach"
    assert curve(run.folder, "data/shortfall")[-1] == pytest.approx(1 - len(useful) / 4)


def test_without_oversampling_nothing_changes():
    plain = fit("name=a", "iterations=2", "gate=minimum_spread")
    batch = plain.module.rollouts
    assert batch is not None and len(batch.prompts) == 4 and not curve(plain.folder, "data/shortfall")
    with pytest.raises(UserError, match="oversample=0: oversample must be a whole number of at least 1"), user_errors():
        build([*TOY, "oversample=0"])
