"""From a configured run to the memory estimate: its references, and what its engine holds, have lines of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from kairos.compose import build, compose, part
from kairos.policy.language import LanguagePolicy
from kairos.policy.memory.advice import table
from kairos.policy.memory.candidate import Candidate
from kairos.policy.memory.estimate import GIB
from kairos.policy.memory.savings import changes
from kairos.policy.memory.sizes import Sizes
from kairos.policy.reference import FrozenLanguage
from kairos.rollout.live import Live
from kairos.train.memory_plan import candidate_of, reference_sizes
from kairos.video.budget import PixelBudget

RUN = ["policy=qwen3_vl_2b", "data=toy", "frames=qwen3_14336", "callbacks.progress=null", "prompts=1", "iterations=1"]


class WithAnswerer(Live):
    """An engine that keeps a frozen model of its own."""

    def __init__(self, answerer: Sizes) -> None:
        super().__init__()
        self.answerer = answerer

    def held_sizes(self) -> Mapping[str, Sizes]:
        return {"answerer": self.answerer}


def configured(*overrides: str) -> Candidate:
    found = candidate_of(build([*RUN, *overrides]).module, PixelBudget(), 1, shards=1, gpu=True, alone=True)
    assert found is not None
    return found


def test_the_start_is_a_copy_an_adapter_switched_off_or_not_needed():
    full = configured()
    assert dict(full.references) == {"start": full.sizes}
    assert dict(configured("adapter=lora").references) == {"start": None}
    assert dict(configured("objective=surrogate").references) == {}


def test_an_engine_says_what_it_holds():
    module = build(RUN).module
    answerer = replace(configured().sizes, trained=0, frozen=8 * 2**30)
    module.engine = WithAnswerer(answerer)
    found = candidate_of(module, PixelBudget(), 1, shards=1, gpu=True, alone=True)
    assert found is not None and dict(found.held) == {"answerer": answerer}
    assert "16.0 GiB  answerer" in table("this run", found, limit=None)


AGENT = [
    "policy=frame_agent", "data=toy_frames", "frames=qwen2_5_3584", "rollout=frame_sets", "answerer=qwen2_5_vl_7b",
    "callbacks.progress=null", "prompts=4", "iterations=1", "sampling.max_actions=8",
    "rollout.frames_by_task.needle=16",
]  # fmt: skip


def test_an_agents_answerer_is_counted_with_what_it_computes_at_once():
    module = build(AGENT).module
    budget = part(compose(AGENT).frames)
    assert isinstance(budget, PixelBudget)
    found = candidate_of(module, budget, 4, shards=1, gpu=True, alone=True)
    assert found is not None and found.answering is not None
    held = {allocation.name: allocation.size for allocation in found.estimate.allocations}
    assert held["answerer"] == 2 * found.held["answerer"].parameters > 2 * 8e9
    assert held["trained weights, fp32"] == 4 * sum(p.numel() for p in module.policy.parameters())
    assert found.answering.frames == 16 and found.answering.vision_tokens == 2 * 3584
    assert {name for name in held if name.startswith("answering")} == {
        "answering: features of frames that are kept", "answering: keys and values", "answering: sets read at once",
        "answering: vision tower and its features", "answering: scores of the next token",
    }  # fmt: skip
    assert not [name for name in held if name.startswith("learning") and "weights" not in name]
    text = table("this run", found, limit=20 * GIB)
    assert "answerer.tokens_at_once=7424  (->" in text and "answerer.cache_gib=0  (->" in text
    smaller = {change.override: change.candidate.need for change, _ in changes(found)}
    assert smaller["answerer.tokens_at_once=7424"] < found.need


def test_an_answerer_of_unknown_sizes_is_not_planned():
    module = build([*AGENT, "answerer=mini"]).module
    assert candidate_of(module, PixelBudget(), 4, shards=1, gpu=True, alone=True) is None


@pytest.mark.parametrize(("adapter", "own"), [("none", True), ("lora", False)])
def test_a_teacher_twice_as_large_is_counted_at_its_own_size_also_under_an_adapter(adapter: str, own: bool):
    deep = part(compose([*RUN, "policy.config.text.num_hidden_layers=72"]).policy)
    assert isinstance(deep, LanguagePolicy)
    student = configured(f"adapter={adapter}")
    found = reference_sizes({"teacher": FrozenLanguage(deep)}, ["start", "teacher"], student.sizes)
    held = {a.name: a.size for a in replace(student, references=found).estimate.allocations}
    assert held["reference teacher"] > 2 * 2 * student.sizes.parameters, "bf16"
    assert held.get("reference start") == (2 * student.sizes.parameters if own else None)


def test_only_references_that_the_loss_needs_are_counted():
    student = configured().sizes
    assert reference_sizes({"teacher": object()}, [], student) == {}
    assert reference_sizes({"teacher": object()}, ["start"], student) == {"start": student}
