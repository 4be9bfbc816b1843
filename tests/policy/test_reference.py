"""A teacher: frozen other weights that score the trained policy's completions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.tiny_language import TINY, batch, policy, prompts

from kairos.core.types import RolloutBatch
from kairos.policy.families.qwen3_vl import Qwen3VL
from kairos.policy.language import LanguagePolicy
from kairos.policy.models.mini_tokenizer import build_tokenizer
from kairos.policy.processor import LanguageProcessor
from kairos.policy.reference import FrozenLanguage


def rollouts(language: LanguagePolicy) -> RolloutBatch:
    return batch(prompts(), [0, 1, 2], [3, 5, 2], len(language.processor.loaded))


def test_a_teacher_scores_as_its_own_weights_do_and_learns_nothing(folder: str, tmp_path: Path) -> None:
    taught = policy(folder)
    taught.save_pretrained(tmp_path)
    teacher = FrozenLanguage(LanguagePolicy(LanguageProcessor(str(tmp_path)), weights=str(tmp_path)))
    assert list(teacher.parameters()) == [], "constructing one loads nothing"
    teacher.build()
    teacher.train()
    stats = teacher(rollouts(taught), entropy=True)
    assert torch.equal(stats.logprobs_BA, taught(rollouts(taught)).logprobs_BA)
    assert not stats.logprobs_BA.requires_grad and not teacher.training
    parameters = list(teacher.parameters())
    assert len(parameters) == len(list(taught.parameters())) and not any(p.requires_grad for p in parameters)


def test_a_teacher_keeps_what_its_frozen_tower_saw(folder: str) -> None:
    language = LanguagePolicy(LanguageProcessor(folder), config=TINY, features=Remembered())
    teacher = FrozenLanguage(language)
    teacher.build()
    for _ in range(2):
        teacher(rollouts(language))
    assert language.counted() == {"tower_clips": 3, "feature_misses": 3, "feature_hits": 3}


def test_a_teacher_with_other_tokens_or_another_layout_is_refused(folder: str, tmp_path: Path) -> None:
    student = LanguagePolicy(LanguageProcessor(folder), config=TINY)
    FrozenLanguage(LanguagePolicy(LanguageProcessor(folder), config=TINY, seed=5)).check_tokens(student)
    other = str(build_tokenizer(["Other words, other tokens."] * 20, tmp_path))
    with pytest.raises(ValueError, match="has other tokens"):
        FrozenLanguage(LanguagePolicy(LanguageProcessor(other), config=TINY)).check_tokens(student)
    family = Qwen3VL(outer_markers=False)
    with pytest.raises(ValueError, match="of the same family"):
        FrozenLanguage(LanguagePolicy(LanguageProcessor(folder, family=family), config=TINY)).check_tokens(student)


class Remembered(dict[str, torch.Tensor]):
    """A feature store in memory."""

    def put(self, key: str, tensor: torch.Tensor) -> None:
        self[key] = tensor
