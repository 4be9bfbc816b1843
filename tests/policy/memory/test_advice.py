"""The advice: every change saves what it says, those that change no result come first, and references have sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from kairos.compose import compose
from kairos.policy.memory.advice import advice, enough, table
from kairos.policy.memory.answering import Answering
from kairos.policy.memory.candidate import Candidate
from kairos.policy.memory.colocated import Colocated
from kairos.policy.memory.estimate import GIB, estimate
from kairos.policy.memory.savings import SAVINGS, changes
from kairos.policy.memory.sizes import Sizes
from kairos.policy.memory.workload import Workload

GROUP = Workload(
    text_tokens=82, vision_tokens=4096, completion=200, group=8, at_once=1, prompts=1, rows=8, moments=0
)  # fmt: skip
LARGE = replace(GROUP, moments=8, prompts=2, rows=16, at_once=4, completion=1024)


def sizes_of_option(option: str) -> Sizes:
    found = instantiate(compose([f"policy={option}"]).policy, _convert_="all").sizes()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def three() -> Sizes:
    return sizes_of_option("qwen2_5_vl_3b")


@pytest.fixture(scope="module")
def seven() -> Sizes:
    return sizes_of_option("qwen2_5_vl_7b")


def lines(candidate: Candidate) -> dict[str, float]:
    return {held.name: held.size for held in candidate.estimate.allocations}


def after(candidate: Candidate, override: str) -> Candidate:
    (found,) = [change.candidate for change, _ in changes(candidate) if change.override.startswith(override)]
    return found


def test_every_change_saves_and_enough_of_them_fit(seven: Sizes):
    candidate = Candidate(seven, LARGE, {"start": seven})
    found = advice(candidate)
    names = " ".join(one.override for one in found)
    for word in (
        "adapter=lora", "policy.freeze=[vision]", "policy.recompute=full", "updates.microbatch=1", "total_pixels",
        "group_size", "strategy=fsdp2",
    ):  # fmt: skip
        assert word in names
    assert all(one.saves > 0 and one.need == pytest.approx(candidate.need - one.saves) for one in found)
    assert [one.saves for one in found] == sorted((one.saves for one in found), reverse=True)
    together = enough(candidate, 140 * GIB)
    assert together is not None and together.need <= 140 * GIB
    assert together.override.startswith("updates.microbatch=1 policy.recompute=full")
    assert "adapter" not in together.override, "what changes results comes last"
    assert enough(candidate, 1 * GIB) is None


def test_the_table_adds_up_and_gives_no_advice_where_all_fits(three: Sizes):
    candidate = Candidate(three, GROUP)
    whole = estimate(three, GROUP)
    assert whole.need == pytest.approx(
        whole.held("always") + max(whole.held("learn"), whole.held("roll out")) + whole.margin
    )
    text = table("this run", candidate, limit=200 * GIB)
    assert "trained weights, fp32" in text and "there is" in text and "would save" not in text
    assert "enough: " in table("this run", candidate, limit=40 * GIB)
    assert "no number of them is enough" in table("this run", candidate, limit=0.5 * GIB)


def test_every_kind_of_saving_is_found_and_its_cost_stands_in_the_table(seven: Sizes):
    asked = Answering(seven, 256, 7168, frames=16, frames_at_once=32, tokens_at_once=32_768, completion=64, cache_gib=4)
    repeated = Candidate(seven, replace(LARGE, shared=False), {"start": seven}, {"answerer": seven}, asked)
    colocated = replace(repeated, colocated=Colocated(kv_cache_gib=16.0, sleeps=True))
    kinds = {saving.option for candidate in (repeated, colocated) for _, saving in changes(candidate)}
    assert kinds == {saving.option for saving in SAVINGS}
    text = table("this run", repeated, limit=None)
    for one in advice(repeated):
        assert one.costs and one.costs in text


@pytest.mark.parametrize("option", [saving.option for saving in SAVINGS])
def test_every_saving_is_an_override_that_composes_or_a_key_that_exists(option: str):
    given = ["policy=qwen2_5_vl_3b", "frames=qwen2_5_3584", "answerer=qwen2_5_vl_7b"]
    given += ["rollout=vllm"] if option == "rollout.kv_cache_gib" else []
    if "=" in option:
        compose([*given, option])
    else:
        assert OmegaConf.select(compose(given), option) is not None


def test_a_teacher_is_counted_at_its_own_size_also_beside_an_adapter(three: Sizes):
    twice = replace(three, trained=2 * three.trained, frozen=2 * three.frozen)
    both = Candidate(three, GROUP, {"start": three, "teacher": twice})
    assert lines(both)["reference start"] == 2 * three.parameters
    assert lines(both)["reference teacher"] == 2 * twice.parameters == 4 * three.parameters
    assert both.need - Candidate(three, GROUP, {"start": three}).need == 4 * three.parameters
    adapted = after(both, "adapter=lora")
    assert "reference start" not in lines(adapted), "the same weights with the adapter off"
    assert lines(adapted)["reference teacher"] == 4 * three.parameters
    assert "reference teacher" in table("this run", adapted, limit=None)


def test_another_objective_is_advised_against_the_start_alone(three: Sizes):
    alone = Candidate(three, GROUP, {"start": three})
    assert after(alone, "objective=surrogate").need == alone.need - 2 * three.parameters
    for references in ({}, {"start": None}, {"teacher": three}, {"start": three, "teacher": three}):
        found = [change.override for change, _ in changes(Candidate(three, GROUP, references))]
        assert not any(override.startswith("objective") for override in found), references


def test_what_an_engine_holds_has_a_line_of_its_own(three: Sizes, seven: Sizes):
    candidate = Candidate(three, GROUP, held={"answerer": seven})
    assert lines(candidate)["answerer"] == 2 * seven.parameters
    assert candidate.need - Candidate(three, GROUP).need == 2 * seven.parameters
