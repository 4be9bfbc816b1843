"""A published model runs from its sizes alone: random weights, a small tokenizer, no network."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers import tiny_language as tiny
from helpers.tiny_architectures import FAMILIES, QWEN3
from hydra.utils import instantiate

from kairos.compose import compose
from kairos.core.types import Sampling
from kairos.policy.language import LanguagePolicy
from kairos.policy.models.architecture import Architecture, tokenizer_of
from kairos.policy.models.mini_tokenizer import token_id
from kairos.policy.processor import LanguageProcessor

OPTIONS = ["qwen2_5_vl_3b", "qwen2_5_vl_7b", "qwen3_vl_2b", "qwen3_vl_4b", "qwen3_vl_8b", "qwen3_5_4b"]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_random_model_samples_and_scores_with_the_shipped_tokenizer(name: str):
    family, architecture, side = FAMILIES[name]
    processor = LanguageProcessor(tokenizer_of("Nobody/Knows-This", random_weights=True), family)
    policy = LanguagePolicy(processor, weights="Nobody/Knows-This", config=architecture, random_weights=True)
    policy.build()
    asked = tiny.prompt("a", "When?", tiny.clip("a", frames=4, height=2 * side, width=2 * side))
    (group,) = policy.sample([asked], 2, Sampling(max_actions=4), seed=1)
    assert all(len(rollout.actions_A) for rollout in group.rollouts)  # type: ignore[arg-type]
    layout = processor(asked)
    assert int(layout.ids_L.max()) < 2048
    assert int((layout.ids_L == policy.towers.video_token).sum()) == 8
    batch = tiny.batch([replace(asked, layout=layout)], [0, 0], [3, 2], 512)
    assert torch.isfinite(policy.score(batch).logprobs_BA).all()


@pytest.mark.parametrize("option", OPTIONS)
def test_special_tokens_are_the_tokenizers(option: str):
    config = compose([f"policy={option}", "policy.random_weights=true"])
    processor = instantiate(config.processor, _convert_="all")
    assert processor.tokenizer == "mini_base"
    made = instantiate(config.policy.config, _convert_="all")(processor.loaded)
    for field, token in {"video_token_id": "<|video_pad|>", "vision_end_token_id": "<|vision_end|>"}.items():
        assert getattr(made, field) == token_id(processor.loaded, token) < made.text_config.vocab_size
    assert made.text_config.eos_token_id == processor.end


@pytest.mark.parametrize("option", OPTIONS)
def test_without_random_weights_the_tokenizer_is_the_weights_own(option: str):
    config = compose([f"policy={option}", "policy.weights=some/folder"])
    assert instantiate(config.processor.tokenizer) == "some/folder"


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused():
    small = replace(QWEN3, text={**QWEN3.text, "vocab_size": 64})
    with pytest.raises(ValueError, match=r"has \d+ tokens, the model only 64: policy and processor.tokenizer"):
        small(LanguageProcessor("mini_base").loaded)


def test_random_weights_need_sizes():
    with pytest.raises(ValueError, match=r"policy.random_weights needs policy.config"):
        LanguagePolicy(LanguageProcessor("mini_base"), weights="mini_base", random_weights=True)


def test_the_same_seed_draws_the_same_weights():
    def drawn(seed: int) -> torch.Tensor:
        processor = LanguageProcessor("mini_base")
        policy = LanguagePolicy(processor, config=QWEN3, seed=seed)
        policy.build()
        return next(policy.parameters()).detach()

    assert torch.equal(drawn(1), drawn(1)) and not torch.equal(drawn(1), drawn(2))
    assert isinstance(QWEN3, Architecture)
