"""How a step is cut into pieces changes nothing; rows of weight 0 move nothing; the denominator comes from outside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.running import TOY, curve, fit, metrics, weights
from helpers.stepping import attached, stepped, toy_batch
from torch import Tensor, nn

from kairos.compose import build
from kairos.core.types import Failure, PromptBatch
from kairos.credit.advantages import GroupNormalized, PerGroup
from kairos.train.devices import ranks
from kairos.train.grpo import GRPOModule

AGGREGATIONS = {
    "token": ["objective.aggregation._target_=kairos.objective.aggregations.TokenMean"],
    "sequence": ["objective.aggregation._target_=kairos.objective.aggregations.SequenceMean"],
    "group token": ["objective.aggregation._target_=kairos.objective.aggregations.GroupTokenMean"],
    "fixed length": [
        "objective.aggregation._target_=kairos.objective.aggregations.FixedLength", "+objective.aggregation.length=3"
    ],
}  # fmt: skip
SGD = ["optimizer=sgd", "optimizer.learning_rate=0.5", "objective=surrogate_kl", "clip_norm=0.05"]


def last(run: Path) -> dict[str, Tensor]:
    return weights(max((run / "checkpoints").glob("*.ckpt")))


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float = 1e-6) -> None:
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], atol=tolerance, rtol=0)


@pytest.mark.parametrize("aggregation", AGGREGATIONS.values(), ids=AGGREGATIONS)
@pytest.mark.parametrize("unit", ["row", "group"])
def test_microbatching_changes_nothing(aggregation: list[str], unit: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kairos.policy.toy.ToyPolicy.microbatch_unit", unit)
    ends = {}
    for size in (0, 1, 3):
        run = fit(
            f"name=micro{size}", f"updates.microbatch={size}", *aggregation,
            "iterations=3", "updates.minibatches=2", "callbacks.checkpoint.every=1", *SGD,
        )  # fmt: skip
        ends[size] = last(run.folder)
    start = build([*TOY, "name=start"]).module.policy.state_dict()
    assert not torch.equal(ends[0]["policy.head"], start["head"]), "nothing was learned, so nothing is compared"
    for size in (1, 3):
        assert_close(ends[0], ends[size])


@pytest.mark.parametrize("size", [1, 2])
def test_the_log_does_not_depend_on_microbatches(size: int):
    whole = fit("name=whole", "iterations=1", *SGD)
    cut = fit("name=cut", "iterations=1", f"updates.microbatch={size}", *SGD)
    (one,), (other,) = metrics(whole.folder), metrics(cut.folder)
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value == pytest.approx(other[name], abs=1e-5), name


def test_every_minibatch_and_epoch_is_one_step_of_the_optimiser():
    run = fit("name=a", "iterations=2", "updates.epochs=3", "updates.minibatches=2", *SGD)
    assert run.trainer.global_step == 2 * 3 * 2
    assert run.module.iteration == 2


def test_what_was_clipped_and_how_far_the_policy_went_is_logged():
    """Under one update an iteration no ratio leaves 1; under several, those that clipping stops are counted."""
    options = ("iterations=2", "objective=surrogate_kl", "+objective.terms.surrogate.clip_high=1e-4", "optimizer=sgd")
    fast = (*options, "+objective.terms.surrogate.clip_low=1e-4", "optimizer.learning_rate=2")
    once, several = fit("name=once", *fast), fit("name=several", *fast, "updates.epochs=4")
    assert curve(once.folder, "policy/clip_fraction") == [0.0, 0.0]
    assert all(0.05 < share < 1 for share in curve(several.folder, "policy/clip_fraction"))
    divergences, weighted = (curve(once.folder, name) for name in ("policy/kl_start", "objective/kl"))
    assert divergences[0] == pytest.approx(0.0, abs=1e-6) and 0.04 * divergences[1] == pytest.approx(
        weighted[1], rel=0.2
    )
    assert all(surprise > 0 for surprise in curve(once.folder, "policy/surprise"))


def test_minibatches_hold_whole_groups():
    with pytest.raises(ValueError, match="4 groups a rank do not split into minibatches=3"):
        fit("name=a", "iterations=1", "updates.minibatches=3")


def test_the_first_of_several_updates_is_on_policy():
    """Old log-probs are those of before the first update, so its ratio is 1 and its surrogate the advantage's mean."""
    several = fit("name=several", "iterations=1", "updates.epochs=2", "clip_norm=0", *SGD[:2], "objective=surrogate")
    assert several.module.rollouts is not None
    assert several.module.rollouts.old_logprobs_BA is not None
    once = fit("name=once", "iterations=1", "clip_norm=0", *SGD[:2], "objective=surrogate")
    assert once.module.rollouts is not None
    assert once.module.rollouts.old_logprobs_BA is None
    gap = (once.module.rollouts.behavior_logprobs_BA - several.module.rollouts.old_logprobs_BA).abs().max()
    assert float(gap) < 1e-5


def test_stand_ins_move_nothing():
    plain = attached("clip_norm=0")
    batch = toy_batch(3)
    expected = stepped(plain, batch)
    filled = PromptBatch((*batch.prompts, batch.prompts[0]), torch.tensor([1.0, 1, 1, 0]), (Failure("lost", "why"),))
    module = attached("clip_norm=0")
    assert_close(expected, stepped(module, filled))
    for name, value in plain.metrics.items():
        if not name.startswith(("time/", "data/")):
            assert module.metrics[name] == pytest.approx(value, abs=1e-6), name
    assert module.metrics["data/failures"] == pytest.approx(0.25)
    assert len(module.credited) == 3, "a stand-in's rollouts are in no log"


@pytest.mark.parametrize("aggregation", AGGREGATIONS.values(), ids=AGGREGATIONS)
def test_a_denominator_of_zero_skips_the_step_and_counts_it(aggregation: list[str]):
    module = attached(*aggregation, "updates.epochs=2")
    start = {name: value.clone() for name, value in module.policy.state_dict().items()}
    batch = replace(toy_batch(3), weights_P=torch.zeros(3), failures=(Failure("a", "x"),) * 3)
    end = stepped(module, batch)
    assert all(torch.equal(start[name], end[name]) for name in start)
    assert module.metrics["learn/skipped"] == 1.0
    assert "reward/total" not in module.metrics
    assert "learn/skipped" in stepped_metrics(module, toy_batch(3)) and module.metrics["learn/skipped"] == 0.0


def stepped_metrics(module: GRPOModule, batch: PromptBatch) -> dict[str, float]:
    module.training_step(batch, 0)
    return module.metrics


def test_a_gate_that_shuts_every_group_skips_too():
    module = attached()
    module.gate = lambda rewards_G, on_policy_G: 0.0
    start = module.policy.state_dict()["head"].clone()
    end = stepped(module, toy_batch(2))
    assert torch.equal(start, end["head"])
    assert module.metrics["advantage/gated"] == 1.0 and module.metrics["learn/skipped"] == 1.0
    assert "reward/total" in module.metrics


def test_the_loss_is_multiplied_by_the_world_size(monkeypatch: pytest.MonkeyPatch):
    """Strategies average gradients over ranks; the denominator is the sum over ranks, so the factor undoes the mean."""

    def gradient(world: int) -> Tensor:
        module = attached("clip_norm=0")
        monkeypatch.setattr(ranks, "world", lambda: world)
        monkeypatch.setattr(ranks, "total", lambda value: value * world)
        monkeypatch.setattr(ranks, "gather", lambda items: items)
        stepped(module, toy_batch(3))
        return parameters(module.policy)

    torch.testing.assert_close(gradient(4), gradient(1))


def parameters(policy: nn.Module) -> Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in policy.parameters() if parameter.grad is not None])


def test_a_group_of_one_is_refused_and_one_without_spread_trains():
    """A group of one has advantage 0 under a rule that compares: a run of such groups is refused before it begins."""
    with pytest.raises(ValueError, match=r"sampling\.group_size=1: the advantage"):
        fit("name=one", "sampling.group_size=1", "iterations=2", "objective=surrogate")
    ((advantages_G, _),) = PerGroup(GroupNormalized())([torch.tensor([0.3])], [torch.tensor([True])])
    assert advantages_G.tolist() == [0.0]
    same = fit(
        "name=same", "rollout=scripted", "sampling.group_size=4", "iterations=1", "objective=surrogate"
    )  # fmt: skip
    assert curve(same.folder, "reward/spread") == [0.0]
    assert curve(same.folder, "learn/gradient_norm") == [0.0]
