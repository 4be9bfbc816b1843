"""The memory estimate: exact for parameters, close to the tensors that autograd saves and to measured activations."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import tiny_language as tiny
from helpers.tiny_architectures import FAMILIES
from hydra.utils import instantiate
from torch import Tensor

from kairos.compose import compose
from kairos.policy.language import LanguagePolicy
from kairos.policy.memory.candidate import Candidate
from kairos.policy.memory.estimate import GIB, estimate
from kairos.policy.memory.savings import changes
from kairos.policy.memory.sizes import Sizes
from kairos.policy.memory.workload import Workload
from kairos.policy.processor import LanguageProcessor

PUBLISHED = {
    "qwen2_5_vl_3b": 3_754_622_976,
    "qwen2_5_vl_7b": 8_292_166_656,
    "qwen3_vl_2b": 2_127_532_032,
    "qwen3_vl_4b": 4_437_815_808,
    "qwen3_vl_8b": 8_767_123_696,
    "qwen3_5_4b": 4_539_265_536,
}
"""Parameters of the released checkpoints (Qwen3.5 without its heads for several tokens at once)."""


@functools.cache
def sizes(option: str, *overrides: str) -> Sizes:
    found = instantiate(compose([f"policy={option}", *overrides]).policy, _convert_="all").sizes()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def three() -> Sizes:
    return sizes("qwen2_5_vl_3b")


@pytest.fixture(scope="module")
def seven() -> Sizes:
    return sizes("qwen2_5_vl_7b")


# One group of 8 x 200 behind 4,096 visual tokens: what performance figures are about.
GROUP = Workload(
    text_tokens=82, vision_tokens=4096, completion=200, group=8, at_once=1, prompts=1, rows=8, moments=0
)  # fmt: skip


def held(found: Sizes, load: Workload, name: str) -> float:
    return sum(one.size for one in estimate(found, load).allocations if name in one.name)


@pytest.mark.parametrize("option", PUBLISHED)
def test_parameters_are_those_of_the_released_checkpoint(option: str):
    assert sizes(option).parameters == PUBLISHED[option]


def test_freezing_and_adapters_are_counted_as_the_policy_applies_them(three: Sizes):
    frozen = sizes("qwen2_5_vl_3b", "policy.freeze=[vision]")
    assert (frozen.frozen, frozen.trained) == (668_684_288, PUBLISHED["qwen2_5_vl_3b"] - 668_684_288)
    assert not frozen.vision_trained and three.vision_trained
    merging = sizes("qwen2_5_vl_3b", "policy.freeze=[tower]")
    assert merging.vision_trained and frozen.trained < merging.trained < three.trained
    adapted = sizes("qwen2_5_vl_3b", "adapter=lora")
    (advised,) = [c.candidate.sizes for c, _ in changes(Candidate(three, GROUP)) if c.override == "adapter=lora"]
    assert adapted.adapter and adapted.trained == advised.trained and adapted.frozen == advised.frozen


def test_widths_agree_with_the_figures_of_the_limit_model(three: Sizes, seven: Sizes):
    assert three.key_value_bytes == 36_864 and seven.key_value_bytes == 57_344
    head = three.vocabulary * three.hidden
    assert three.parameters - three.vision - head == pytest.approx(2.775e9, rel=0.001)
    assert 2 * three.parameters == pytest.approx(7.5e9, rel=0.01) and 2 * seven.parameters == pytest.approx(
        16.6e9, 0.01
    )
    features = {o: 3968 * s.hidden * s.levels * 2 / 1e6 for o in PUBLISHED if (s := sizes(o))}
    assert features == pytest.approx(
        {
            "qwen2_5_vl_3b": 16.3, "qwen2_5_vl_7b": 28.4, "qwen3_vl_2b": 65, "qwen3_vl_4b": 81, "qwen3_vl_8b": 130,
            "qwen3_5_4b": 20,
        },
        rel=0.02,
    )  # fmt: skip


def test_a_trained_7b_model_holds_124_gib_of_weights_gradients_and_moments(seven: Sizes):
    whole = estimate(seven, replace(GROUP, moments=8))
    assert whole.held("always") / GIB == pytest.approx(123.6, abs=0.1)
    quarter = estimate(seven, replace(GROUP, moments=8, shards=4)).held("always")
    assert quarter / GIB == pytest.approx(123.6 / 4, abs=0.1)


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("option", ["qwen2_5_vl_3b", "qwen2_5_vl_7b"])
def test_activations_are_near_those_measured_on_a_gpu(option: str, recompute: str, repository: Path):
    """Measured on an H200, of which some are bf16 copies of weights. Where nothing is computed again they are of all
    matrices (of_which_bf16_weights_gib there); beside MLPs that are, of attention's: 2 bytes x layers x hidden x
    (2 queries + 2 keys); where layers are, of one layer's."""
    measured = json.loads((repository / "results" / "update.json").read_text(encoding="utf-8"))
    cell = measured["cells"][f"{option}, shared, cached, recompute {recompute}, G 8, C 200"]
    blind = replace(sizes(option), vision_trained=False)
    attention = 2 * blind.hidden * (2 * blind.queries + 2 * blind.keys) / GIB
    copies = {
        "none": cell["of_which_bf16_weights_gib"],
        "selective": blind.layers * attention,
        "full": attention + 2 * blind.hidden * 3 * blind.intermediate / GIB,
    }
    kept = cell["activations_gib"] - copies[recompute]
    load = replace(GROUP, recompute=recompute)
    ours = sum(held(blind, load, name) for name in ("activations", "log-probabilities")) / GIB
    assert 0.85 * kept <= ours <= 1.1 * kept


@pytest.mark.parametrize(
    ("name", "tolerance", "gpu", "recompute"),
    [
        ("qwen3_vl", 0.05, True, "none"), ("qwen3_vl", 0.05, True, "full"), ("qwen3_vl", 0.05, False, "none"),
        ("qwen2_5_vl", 0.25, True, "none"), ("qwen2_5_vl", 0.2, True, "full"), ("qwen3_5", 0.2, True, "none"),
        ("qwen3_vl", 0.1, True, "selective"), ("qwen2_5_vl", 0.25, True, "selective"),
        ("qwen3_vl", 0.1, False, "selective"),
    ],
)  # fmt: skip
def test_the_formula_is_what_autograd_keeps(name: str, tolerance: float, gpu: bool, recompute: str):
    """Bytes of every further prompt token, saved for the backward pass of a small model; autocast as on a GPU."""
    family, architecture, side = FAMILIES[name]
    policy = LanguagePolicy(
        LanguageProcessor("mini_base", family), config=architecture, freeze=("vision",), recompute=recompute
    )
    policy.build()
    found = policy.sizes()
    assert found is not None
    (short, few), (long, many) = (saved(policy, words, side, gpu) for words in (40, 160))
    load = replace(GROUP, completion=0, rows=0, vision_tokens=0, recompute=recompute, gpu=gpu, fused=False)
    saved_bytes = [held(found, replace(load, text_tokens=tokens), "activations") for tokens in (few, many)]
    expected = saved_bytes[1] - saved_bytes[0]
    if recompute != "none":  # what one layer holds while it is computed again is not kept by the forward pass
        one = [replace(load, text_tokens=tokens, recompute="none") for tokens in (few, many)]
        whole = held(found, one[1], "activations") - held(found, one[0], "activations")
        again = whole if recompute == "full" else (whole - expected) * found.layers / (found.layers - 1)
        expected -= again / found.layers
    outside = (many - few) * 16 * found.hidden  # the embeddings and the last norm
    assert expected * (1 - tolerance) <= long - short <= expected * (1 + tolerance) + outside


def saved(policy: LanguagePolicy, words: int, side: int, autocast: bool) -> tuple[int, int]:
    """(bytes saved for the backward pass besides the parameters, tokens of the prompt)."""
    asked = tiny.prompt("a", "red " * words, tiny.clip("a", frames=4, height=2 * side, width=2 * side))
    asked = replace(asked, layout=policy.processor(asked))
    kept: dict[int, tuple[int, Tensor]] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = (tensor.untyped_storage().nbytes(), tensor)
        return tensor

    batch = tiny.batch([asked], [0, 0], [2, 2], 512)
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=autocast),
    ):
        policy.score(batch)
    own = {parameter.untyped_storage().data_ptr() for parameter in policy.parameters()}
    assert asked.layout is not None
    return sum(size for place, (size, _) in kept.items() if place not in own), len(asked.layout)


def test_a_policy_without_stated_sizes_has_no_estimate():
    assert instantiate(compose(["policy=mini"]).policy, _convert_="all").sizes() is None
    assert instantiate(compose(["policy=mini_random"]).policy, _convert_="all").sizes() is None


def test_rows_by_themselves_need_more_than_a_shared_prompt(three: Sizes):
    repeated = replace(GROUP, shared=False)
    assert repeated.tokens == 8 * (4178 + 200) and GROUP.tokens == 4178 + 8 * 200
    assert held(three, repeated, "text layers") > 5 * held(three, GROUP, "text layers")
