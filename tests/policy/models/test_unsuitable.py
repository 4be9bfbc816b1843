"""What does not fit is refused with a remedy: another family's checkpoint, a long clip, features without tokens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.tiny_language import FAMILIES, batch, clip, prompt, prompts

from kairos.core.types import Sampling
from kairos.policy.families.qwen2_5_vl import Qwen25VL
from kairos.policy.families.qwen3_vl import Qwen3VL
from kairos.policy.language import LanguagePolicy
from kairos.policy.processor import LanguageProcessor


@pytest.fixture(scope="module")
def language(folder: str) -> LanguagePolicy:
    return FAMILIES["qwen2_5_vl"].policy(folder)


def test_a_checkpoint_of_another_family_is_refused_by_name(language: LanguagePolicy, tmp_path: Path) -> None:
    language.save_pretrained(tmp_path)
    other = LanguagePolicy(LanguageProcessor(str(tmp_path), family=Qwen3VL()), weights=str(tmp_path))
    with pytest.raises(ValueError, match=r"'qwen2_5_vl', but processor\.family reads 'qwen3_vl'") as error:
        other.build()
    assert str(tmp_path) in str(error.value)
    assert "qwen2_5_vl, qwen3_5, qwen3_vl" in str(error.value) and "policy=" in str(error.value)
    LanguagePolicy(LanguageProcessor(str(tmp_path), family=Qwen25VL()), weights=str(tmp_path)).build()


def test_a_checkpoint_of_no_family_is_refused_even_where_transformers_does_not_know_it(tmp_path: Path) -> None:
    for name in ("llama", "some_new_model"):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": name}), encoding="utf-8")
        with pytest.raises(ValueError, match=f"model_type '{name}'"):
            Qwen25VL().load(str(tmp_path))


def test_a_clip_beyond_the_context_is_refused_with_what_to_lower(language: LanguagePolicy) -> None:
    long = prompt("long", "When?", clip("long-clip", frames=8, height=56, width=56))
    needed = len(language.processor(long))
    config = language.model.config.get_text_config()
    limit, config.max_position_embeddings = config.max_position_embeddings, needed + 5
    try:
        language.sample([long], 1, Sampling(max_actions=5), seed=0)
        with pytest.raises(ValueError, match=r"clip long-clip has \d+ tokens, 16 of which") as error:
            language.sample([long], 1, Sampling(max_actions=6), seed=0)
        with pytest.raises(ValueError, match=f"context of {needed + 5}"):
            language(batch([long], [0], [6], len(language.processor.loaded)))
    finally:
        config.max_position_embeddings = limit
    assert "frames.total_pixels" in str(error.value)


def test_features_that_are_not_as_many_as_their_tokens_are_refused(language: LanguagePolicy) -> None:
    """A layout that was made for another size of the same clip."""
    first, second, _ = prompts(28)
    laid_out = replace(first, layout=language.processor(replace(first, clip=clip("a", height=84, width=56))))
    rollouts = batch([laid_out, second], [0, 1], [2, 2], len(language.processor.loaded))
    with pytest.raises(ValueError, match=r"gave 34 features.*a \(24\), bb \(18\).*processor\.family"):
        language(rollouts)
    assert torch.isfinite(language(replace(rollouts, prompts=(first, second))).logprobs_BA).all()
