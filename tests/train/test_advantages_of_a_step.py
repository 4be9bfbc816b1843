"""An advantage sees all groups of a step, over ranks too, and what comes out of it is what is learned from and logged.

The advantage is a user's own: the library ships none that looks beyond a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from helpers.processes import run
from helpers.running import TOY, fit, rows
from helpers.stepping import attached, stepped, toy_batch
from torch import Tensor

from kairos.compose import build
from kairos.core.ranks import total
from kairos.core.types import Failure, PromptBatch
from kairos.credit.advantages import Downscaled, MeanCentred, PerGroup
from kairos.credit.gates import NoGate
from kairos.credit.rescoring import Rescorer
from kairos.credit.rewards.rubric import Rubric
from kairos.data.templates.answer import AnswerOnly

GROUPS = [torch.tensor([0.0, 1.0, 0.5]), torch.tensor([0.3, 0.1]), torch.tensor([1.0, 1.0, 0.0, 0.2])]


@dataclass(frozen=True)
class BatchNormalized:
    """r - mean of the group, over the mean and the standard deviation of all rows of the step, on every rank."""

    def __call__(self, rewards: Sequence[Tensor], on_policy: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        centred = [rewards_G.double() - rewards_G.double().mean() for rewards_G in rewards]
        sums = torch.zeros(3, dtype=torch.float64)
        for group_G in centred:
            sums += torch.stack([torch.tensor(float(len(group_G))), group_G.sum(), group_G.square().sum()])
        count, first, second = total(sums)
        spread = (second / count - (first / count).square()).clamp(min=0).sqrt() + 1e-6
        return [(((c_G - first / count) / spread).float(), torch.ones(len(c_G))) for c_G in centred]


MINE = ["~advantage.rule", "advantage._target_=test_advantages_of_a_step.BatchNormalized"]


class OwnMean:
    """A user's rule for one group."""

    def __call__(self, rewards: Tensor, on_policy: Tensor) -> tuple[Tensor, Tensor]:
        return rewards - rewards.mean(), torch.ones(len(rewards))


def test_a_rule_for_one_group_given_as_the_advantage_is_refused_with_the_remedy():
    yaml = ["~advantage.rule", "advantage._target_=test_advantages_of_a_step.OwnMean"]
    remedy = r"OwnMean .* takes the rewards of one group \(rewards: .*Tensor.*\), .* wrap it in PerGroup"
    with pytest.raises(Exception, match=remedy):
        build([*TOY, "name=a", *yaml])
    with pytest.raises(ValueError, match=r"MeanCentred\(\) takes the rewards of one group \(rewards_G: .* wrap it"):
        Downscaled(MeanCentred())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="wrap it in PerGroup"):
        Rescorer(AnswerOnly(), Rubric({}), OwnMean(), NoGate())  # type: ignore[arg-type]
    wrapped = build([*TOY, "name=a", "advantage.rule._target_=test_advantages_of_a_step.OwnMean"]).module.advantage
    assert isinstance(wrapped, PerGroup) and isinstance(wrapped.rule, OwnMean)


def credited(groups: Sequence[Tensor]) -> list[Tensor]:
    pairs = BatchNormalized()(groups, [torch.ones(len(rewards)).bool() for rewards in groups])
    return [advantages_G for advantages_G, _ in pairs]


def one_rank(rank: int, shares: list[list[int]], folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=len(shares))
    torch.save(credited([GROUPS[index] for index in shares[rank]]), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("shares", [[[0, 1], [2]], [[0, 1, 2], []]], ids=["both", "one rank without a group"])
def test_two_ranks_together_see_what_one_process_sees(shares: list[list[int]], tmp_path: Path):
    mp.spawn(one_rank, args=(shares, str(tmp_path)), nprocs=2)
    expected = credited(GROUPS)
    by_rank = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    assert [len(part) for part in by_rank] == [len(share) for share in shares]
    for advantages_G, alone_G in zip([a for part in by_rank for a in part], expected, strict=True):
        torch.testing.assert_close(advantages_G, alone_G)
    own = credited([GROUPS[0]])[0]
    assert not torch.allclose(own, expected[0], atol=1e-3), "the other groups do not count, so nothing is compared"


def test_two_processes_train_and_log_the_advantages_of_one(repository: Path, workplace: Path):
    options = [*TOY[:-1], *MINE, "method=timezero", "template=answer", "iterations=2", "callbacks.validation=null"]
    two = ["SCRIPT", *options, "prompts=2", "trainer.devices=2", "strategy=ddp", "name=two"]
    done = run(two, workplace, repository, Path(__file__).parent, repository / "tests")
    assert done.returncode == 0, done.stderr[-4000:]
    alone = build([*options, "prompts=4", "name=alone"])
    alone.trainer.fit(alone.module, alone.datamodule)
    mine, theirs = rows(alone.folder / "rollouts.jsonl"), rows(workplace / "runs" / "two" / "rollouts.jsonl")
    assert [(row["uid"], row["text"]) for row in mine] == [(row["uid"], row["text"]) for row in theirs]
    assert len(mine) == 2 * 4 * 8
    for one, other in zip(mine, theirs, strict=True):
        assert other["advantage"] == pytest.approx(one["advantage"], abs=1e-5)


def test_what_is_logged_is_what_was_learned_from():
    """Gate and advantage together: a group without spread has weight 0, in the batch and in the log."""
    experiment = fit("name=a", *MINE, "gate=minimum_spread", "reward=iou_format", "iterations=3")
    batch = experiment.module.rollouts
    assert batch is not None
    logged = [row for row in rows(experiment.folder / "rollouts.jsonl") if row["iteration"] == 3]
    assert [row["advantage"] for row in logged] == batch.advantages_B.tolist()
    assert [row["weight"] for row in logged] == batch.weights_B.tolist()
    assert any(row["advantage"] for row in logged)
    assert sum(row["advantage"] for row in logged) == pytest.approx(0.0, abs=1e-4)  # type: ignore[misc, arg-type]
    spread = torch.tensor([row["advantage"] for row in logged]).std(unbiased=False)
    assert float(spread) == pytest.approx(1.0, abs=1e-3), "over the step, not over each group"


def test_stand_ins_are_in_no_statistic():
    batch = toy_batch(3)
    expected = attached(*MINE, "clip_norm=0")
    stepped(expected, batch)
    filled = PromptBatch((batch.prompts[2], *batch.prompts), torch.tensor([0.0, 1, 1, 1]), (Failure("lost", "why"),))
    module = attached(*MINE, "clip_norm=0")
    stepped(module, filled)
    assert module.rollouts is not None and expected.rollouts is not None
    size = len(module.rollouts) // 4
    assert torch.equal(module.rollouts.advantages_B[size:], expected.rollouts.advantages_B)
    assert not module.rollouts.weights_B[:size].any() and not module.rollouts.advantages_B[:size].any()
    stepped(module, replace(batch, weights_P=torch.zeros(3), failures=(Failure("a", "x"),) * 3))
    assert module.credited == [] and not module.rollouts.weights_B.any(), "called although there is no group"
