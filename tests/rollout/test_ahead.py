"""rollout.ahead=1: an iteration is sampled with the weights from before the last update, and weighed for that."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Sequence
from statistics import fmean

import pytest
import torch
from helpers.running import assert_same_run, curve, fit, rows
from helpers.tiny_language import clip, prompt

from kairos.core.types import ActionStats, Prompt, PromptBatch, RolloutBatch, RolloutGroup, Sampling
from kairos.objective.terms import ClippedSurrogate
from kairos.policy.toy import ToyPolicy
from kairos.rollout.ahead import Ahead, scheduled
from kairos.rollout.live import Live
from kairos.train.feed.batches import BatchStream

FIRST, SECOND, OTHER = (
    [prompt(f"{name}{i}", f"when is {name} {i}?", clip("x", 2)) for i in range(3)] for name in "abc"
)
SAMPLING = Sampling(max_actions=3)


def texts(groups: Sequence[RolloutGroup]) -> list[str]:
    return [row.text for group in groups for row in group.rollouts]


def moved(policy: ToyPolicy) -> ToyPolicy:
    with torch.no_grad():
        policy.step += torch.randn(policy.step.shape, generator=torch.Generator().manual_seed(1))
    return policy


def test_what_was_foreseen_has_the_weights_from_before_the_update_and_nothing_else_has():
    toy, engine = ToyPolicy(), Ahead(Live())
    old = copy.deepcopy(toy)
    engine.sync(toy)
    engine.foresee(SECOND, 4, SAMPLING, seed=2)
    first = engine.generate(FIRST, 4, SAMPLING, seed=1)
    assert texts(first) == texts(old.sample(FIRST, 4, SAMPLING, seed=1))
    assert {row.staleness for group in first for row in group.rollouts} == {0}
    engine.sync(moved(toy))
    asked = engine.generate(OTHER, 2, SAMPLING, seed=2)  # a validation, between two iterations
    assert texts(asked) == texts(toy.sample(OTHER, 2, SAMPLING, seed=2))
    assert asked[0].rollouts[0].staleness is None
    second, expected = engine.generate(SECOND, 4, SAMPLING, seed=2), old.sample(SECOND, 4, SAMPLING, seed=2)
    assert texts(second) == texts(expected) != texts(toy.sample(SECOND, 4, SAMPLING, seed=2))
    assert [group.prompt for group in second] == SECOND
    for group, same in zip(second, expected, strict=True):
        for row, other in zip(group.rollouts, same.rollouts, strict=True):
            assert row.staleness == 1 and row.truncated is other.truncated
            assert torch.equal(row.actions_A, other.actions_A)
            assert torch.equal(row.behavior_logprobs_A, other.behavior_logprobs_A)
    again = engine.generate(SECOND, 4, SAMPLING, seed=2)  # they are given once
    assert texts(again) == texts(toy.sample(SECOND, 4, SAMPLING, seed=2))


def test_kept_rows_pass_through_text_and_answer_only_what_they_were_sampled_for():
    toy, engine = ToyPolicy(), Ahead(Live())
    engine.sync(toy)
    engine.foresee(SECOND, 4, SAMPLING, seed=2)
    engine.generate(FIRST, 4, SAMPLING, seed=1)
    stored = json.loads(json.dumps(engine.state_dict()))
    expected = toy.sample(SECOND, 4, SAMPLING, seed=2)
    for seed, sampling, fresh in ((2, SAMPLING, False), (3, SAMPLING, True), (2, Sampling(max_actions=2), True)):
        resumed = Ahead(Live())
        resumed.load_state_dict([{}, stored])
        resumed.sync(moved(copy.deepcopy(toy)))
        found = resumed.generate(SECOND[::-1], 4, sampling, seed)
        assert (texts(found) == texts(expected[::-1])) is not fresh
    assert Ahead(Live()).state_dict() == {}


class Elsewhere(Live):
    """An engine whose rows come later, as a server's do, from the weights that it had when it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def sync(self, policy: object) -> None:
        self.waits.append("sync")
        super().sync(copy.deepcopy(policy))

    def begin(
        self, prompts: Sequence[Prompt], group_size: int, sampling: Sampling, seed: int
    ) -> Callable[[], list[RolloutGroup]]:
        self.waits.append("begin")

        def wait() -> list[RolloutGroup]:
            self.waits.append("wait")
            return self.generate(prompts, group_size, sampling, seed)

        return wait


def test_rows_that_come_from_elsewhere_are_awaited_before_the_weights_change():
    toy, server = ToyPolicy(), Elsewhere()
    engine = Ahead(server)
    old = copy.deepcopy(toy)
    engine.sync(toy)
    engine.foresee(SECOND, 4, SAMPLING, seed=2)
    engine.generate(FIRST, 4, SAMPLING, seed=1)
    engine.sync(moved(toy))
    assert server.waits == ["sync", "begin", "wait", "sync"]
    assert texts(engine.generate(SECOND, 4, SAMPLING, seed=2)) == texts(old.sample(SECOND, 4, SAMPLING, seed=2))


def test_only_rows_of_older_weights_are_weighed_unless_all_are_asked_for():
    where = prompt("p", "when?", clip("x", 2))
    batch = RolloutBatch(
        (where,), torch.zeros(3, dtype=torch.long), torch.zeros(3, 2, dtype=torch.long), torch.ones(3, 2),
        torch.zeros(3, dtype=torch.long), torch.ones(3), torch.ones(3),
        behavior_logprobs_BA=torch.tensor([[-1.0, -1.0], [-1.0, -3.0], [float("nan")] * 2]),
        staleness_B=torch.tensor([0, 1, 1]),
    )  # fmt: skip
    stats = ActionStats(torch.tensor([[-1.5, -1.0], [-1.5, -1.0], [-1.0, -1.0]]))
    half = float(torch.tensor(-0.5).exp())
    assert ClippedSurrogate()(stats, batch).tolist() == [[-1.0, -1.0], pytest.approx([-half, -2.0]), [-1.0, -1.0]]
    assert ClippedSurrogate(stale_limit=1.5)(stats, batch)[1, 1] == -1.5
    assert ClippedSurrogate(importance_limit=4.0)(stats, batch).tolist() == [
        pytest.approx([-half, -1.0]), pytest.approx([-half, -4.0]), [-1.0, -1.0]
    ]  # fmt: skip
    assert ClippedSurrogate().measured(stats, batch)["policy/importance"][1, 1] == 2.0
    with pytest.raises(ValueError, match="stale_limit must be > 0"):
        ClippedSurrogate(stale_limit=0.0)
    with pytest.raises(ValueError, match=r"rollout\.ahead must be 0 or 1 .* got 2"):
        scheduled(Live(ahead=2))


def drawn(folder: object) -> list[tuple[object, ...]]:
    return [(row["iteration"], row["uid"], row["row"], row["text"]) for row in rows(folder / "rollouts.jsonl")]  # type: ignore[operator]


def test_the_data_keep_their_order_and_only_the_weights_that_sample_them_are_older():
    common = ["iterations=4", "evaluate=none", "callbacks.validation=null", "optimizer.learning_rate=0.1"]
    plain, ahead = fit("name=plain", *common), fit("name=ahead", *common, "rollout.ahead=1")
    still = drawn(fit("name=still", *common[:3], "optimizer.learning_rate=0").folder)
    mine, theirs = drawn(ahead.folder), drawn(plain.folder)
    assert [row[:3] for row in mine] == [row[:3] for row in theirs]
    second = [row for row in mine if row[0] == 2]
    assert second == [row for row in still if row[0] == 2] != [row for row in theirs if row[0] == 2]
    assert [row for row in mine if row[0] == 3] != [row for row in still if row[0] == 3]
    assert curve(ahead.folder, "rollout/staleness") == [0.0, 1.0, 1.0, 1.0]
    assert curve(plain.folder, "rollout/staleness") == [] == curve(plain.folder, "policy/importance")
    assert curve(ahead.folder, "policy/importance")[0] == 1.0 != curve(ahead.folder, "policy/importance")[1]
    assert max(curve(ahead.folder, "policy/sampling_gap")[1:]) > 1e-4 > curve(ahead.folder, "policy/sampling_gap")[0]


def test_a_run_that_is_ahead_resumes_bit_for_bit():
    """16 prompts of 4 an iteration: an epoch ends after the 4th iteration."""
    common = [
        "rollout.ahead=1", "optimizer=adamw", "optimizer.learning_rate=0.03", "iterations=6", "evaluate=none",
        "callbacks.checkpoint.every=1", "callbacks.checkpoint.keep=all", "callbacks.validation.every=2",
    ]  # fmt: skip
    whole = fit("name=whole", *common)
    for position in (1, 4):
        shutil.copytree(whole.folder, part := whole.folder.parent / f"part{position}")
        for checkpoint in sorted((part / "checkpoints").glob("*.ckpt"))[position:]:
            checkpoint.unlink()
        assert_same_run(whole.folder, fit(f"name=part{position}", *common, resume=True).folder)


def test_one_step_off_policy_still_learns():
    run = fit(
        "name=learns", "rollout.ahead=1", "iterations=60", "prompts=8", "optimizer.learning_rate=0.1",
        "callbacks.validation=null", "evaluate=none",
    )  # fmt: skip
    rewards = curve(run.folder, "reward/total")
    assert fmean(rewards[-10:]) > fmean(rewards[:10]) + 0.2, rewards


def test_a_batch_holds_the_next_one_of_the_same_data_loader():
    batches = [[PromptBatch((where,), torch.ones(1)) for where in FIRST], [PromptBatch((SECOND[0],), torch.ones(1))]]
    stream = BatchStream(lambda: iter(batches), 4, paired=True)  # type: ignore[arg-type]
    found = [(batch.prompts[0].uid, batch.following and batch.following.prompts[0].uid) for batch in stream]
    assert found == [("a0", "a1"), ("a1", "a2"), ("a2", None), ("b0", None)]
