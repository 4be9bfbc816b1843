"""The engines that need no model server: the policy itself, the annotation, a script."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_language import clip, prompt

from kairos.core.types import Origin, Sampling
from kairos.policy.toy import ToyPolicy
from kairos.rollout.annotations import Annotations
from kairos.rollout.live import Live
from kairos.rollout.scripted import Scripted

QUESTIONS = [prompt(f"p{i}", f"when is number {i}?", clip("x", 2)) for i in range(5)]


def test_live_asks_the_policy_with_its_weights_of_now() -> None:
    toy, engine = ToyPolicy(), Live()
    engine.setup(torch.device("cpu"))
    engine.sync(toy)
    sampling = Sampling(max_actions=3)
    groups = engine.generate(QUESTIONS, 4, sampling, seed=1)
    assert [g.prompt.uid for g in groups] == [q.uid for q in QUESTIONS] and {len(g) for g in groups} == {4}
    expected = toy.sample(QUESTIONS, 4, sampling, seed=1)
    assert [r.text for g in groups for r in g.rollouts] == [r.text for g in expected for r in g.rollouts]
    with torch.no_grad():
        toy.step[0, 5] += 100
    assert all(r.text.startswith("<answer>2.5") for g in engine.generate(QUESTIONS, 2, sampling, 1) for r in g.rollouts)
    engine.release()


def test_live_in_portions_samples_the_same() -> None:
    toy = ToyPolicy()
    texts = []
    for size in (None, 1, 2):
        engine = Live(prompts_at_once=size)
        engine.sync(toy)
        groups = engine.generate(QUESTIONS, 3, Sampling(max_actions=3), seed=7)
        texts.append([r.text for g in groups for r in g.rollouts])
    assert texts[0] == texts[1] == texts[2]


def test_live_without_a_policy_and_a_portion_of_none_are_refused() -> None:
    with pytest.raises(RuntimeError, match="sync"):
        Live().generate(QUESTIONS, 1, Sampling(), 0)
    with pytest.raises(ValueError, match="prompts_at_once"):
        Live(prompts_at_once=0)


def test_the_annotation_writes_one_row_that_the_policy_encodes() -> None:
    groups = Annotations().generate(QUESTIONS, 1, Sampling(), 0)
    assert [len(group) for group in groups] == [1] * 5
    row = groups[0].rollouts[0]
    assert (row.text, row.actions_A, row.behavior_logprobs_A) == ("<answer>1.0 to 2.5</answer>", None, None)
    assert row.origin is Origin.DEMONSTRATION and not groups[0].on_policy_G.any()
    with pytest.raises(ValueError, match="group_size=1"):
        Annotations().generate(QUESTIONS, 2, Sampling(), 0)


def test_a_script_is_replayed_in_turn_as_the_policys_own() -> None:
    groups = Scripted(["a", "b"]).generate(QUESTIONS[:2], 3, Sampling(), 0)
    assert [[r.text for r in g.rollouts] for g in groups] == [["a", "b", "a"]] * 2
    assert groups[0].on_policy_G.all() and groups[0].rollouts[0].actions_A is None
    by_uid = Scripted({"p0": ["x"], "p1": ["y"]}).generate(QUESTIONS[:2], 2, Sampling(), 0)
    assert [[r.text for r in g.rollouts] for g in by_uid] == [["x", "x"], ["y", "y"]]
    with pytest.raises(ValueError, match="at least one text"):
        Scripted([])


def test_engines_say_whether_they_ask_the_policy() -> None:
    assert Live().asks_policy and not Annotations().asks_policy and not Scripted(["a"]).asks_policy
