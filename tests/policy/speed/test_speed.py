"""The prediction of an iteration's time: what must grow with what, and which phase it belongs to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kairos.compose import compose, part
from kairos.policy.language import LanguagePolicy
from kairos.policy.memory.sizes import Sizes
from kairos.policy.memory.workload import Workload
from kairos.policy.speed.amounts import h200
from kairos.policy.speed.iteration import Iteration
from kairos.policy.speed.passes import matrices, tower_matrices
from kairos.policy.speed.table import time_table

LOAD = Workload(text_tokens=53, vision_tokens=4096, completion=200, group=8, at_once=4, prompts=1, rows=8)


@pytest.fixture(scope="module")
def three() -> Sizes:
    policy = part(compose(["policy=qwen2_5_vl_3b"]).policy)
    assert isinstance(policy, LanguagePolicy)
    found = policy.sizes()
    assert found is not None
    return found


def seconds(planned: Iteration) -> dict[str, float]:
    return {phase: amounts.seconds(h200()) for phase, amounts in planned.phases.items()}


def test_matrices_are_nearly_all_parameters_of_their_tower(three: Sizes):
    embedding = three.vocabulary * three.hidden
    assert matrices(three) == pytest.approx(three.parameters - three.vision - embedding, rel=1e-3)
    assert tower_matrices(three) == pytest.approx(three.vision, rel=0.1), "but for the merger"


def test_each_change_makes_its_own_phase_longer(three: Sizes):
    one = Iteration(three, LOAD, sampled=4, learned=4)
    now = seconds(one)
    assert now["references"] == 0 < now["learning"]
    longer = seconds(replace(one, load=replace(LOAD, completion=400)))
    assert longer["roll-out"] > 1.5 * now["roll-out"] and longer["learning"] > now["learning"]
    again = seconds(replace(one, load=replace(LOAD, recompute="full")))
    assert again["learning"] > 1.15 * now["learning"] and again["roll-out"] == now["roll-out"]
    repeated = seconds(replace(one, load=replace(LOAD, shared=False)))
    assert repeated["learning"] > 3 * now["learning"]
    compared = seconds(replace(one, references=[three]))
    assert 0.2 < compared["references"] / now["learning"] < 0.4, "a forward pass"
    one_by_one = seconds(replace(one, load=replace(LOAD, at_once=1)))
    assert one_by_one["roll-out"] > 2 * now["roll-out"]
    assert seconds(replace(one, sampled=8))["learning"] == now["learning"]


def test_a_frozen_tower_learns_nothing_and_its_stored_features_cost_nothing(three: Sizes):
    frozen = replace(three, vision_trained=False, trained=three.trained - three.vision, frozen=three.vision)
    trained = seconds(Iteration(three, LOAD, 4, 4))
    first = seconds(Iteration(frozen, LOAD, 4, 4, features_kept=True))
    later = seconds(Iteration(frozen, LOAD, 4, 4, features_kept=True, known=1.0))
    assert first["learning"] < trained["learning"] and first["roll-out"] == pytest.approx(trained["roll-out"])
    assert later["roll-out"] < first["roll-out"] and later["learning"] == first["learning"]


def test_weights_travel_between_devices_and_to_vllm(three: Sizes):
    alone = Iteration(three, LOAD, 4, 4)
    shared = seconds(replace(alone, devices=2, load=replace(LOAD, shards=2)))
    assert shared["roll-out"] > seconds(alone)["roll-out"] and shared["learning"] > seconds(alone)["learning"]
    vllm = replace(alone, vllm=True)
    assert vllm.phases["roll-out"].sent == 2 * (three.parameters - three.vision)
    assert "to vLLM" in time_table(vllm, 100, h200()) and "of which" not in time_table(alone, 100, h200())


def test_hours_are_iterations_and_gpu_hours_are_devices_times_hours(three: Sizes):
    planned = Iteration(three, LOAD, 4, 4, devices=2)
    whole = sum(seconds(planned).values())
    text = time_table(planned, 3600, h200())
    assert f"{whole:8.1f} h    3,600 iterations, {2 * whole:.1f} GPU-hours" in text
    assert f"{whole / 4:.2f} GPU-seconds a prompt" in text
