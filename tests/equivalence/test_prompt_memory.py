"""What sampling remembers packed for a GPU is what it remembers padded, and growing changes nothing."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_language import policy, prompts

from kairos.core.types import Sampling
from kairos.policy.language import LanguagePolicy
from kairos.policy.sampling import draw as sampling
from kairos.policy.sampling.cache import PackedPrompts, PackedRows, PaddedPrompts, PaddedRows


@pytest.fixture(scope="module")
def language(folder: str) -> LanguagePolicy:
    return policy(folder)


def drawn(language: LanguagePolicy, actions: int) -> list[tuple[list[int], list[float]]]:
    groups = language.sample(prompts(), 3, Sampling(max_actions=actions), seed=4)
    return [(r.actions_A.tolist(), r.behavior_logprobs_A.tolist()) for group in groups for r in group.rollouts]


def test_a_packed_prompt_is_looked_at_as_a_padded_one() -> None:
    lengths, group, generator = (7, 3, 12), 4, torch.Generator().manual_seed(0)
    tokens, rows = sum(lengths), len(lengths) * group
    q, k, v = (torch.randn(tokens, heads, 8, generator=generator) for heads in (4, 2, 2))
    asked = torch.randn(rows, 4, 8, generator=generator)
    results = []
    for kind in (PackedPrompts, PaddedPrompts):
        memory = kind(lengths, group, torch.device("cpu"))
        results.append((memory.first(0, q, k, v, 0.3), *memory.look(0, asked, 0.3)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_packed_and_padded_memories_draw_the_same(language: LanguagePolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    padded = drawn(language, 20)
    monkeypatch.setattr(sampling, "PaddedPrompts", PackedPrompts)
    monkeypatch.setattr(sampling, "PaddedRows", PackedRows)
    packed = drawn(language, 20)
    assert [tokens for tokens, _ in packed] == [tokens for tokens, _ in padded]
    for (_, ours), (_, theirs) in zip(packed, padded, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("rows", [PaddedRows, PackedRows])
def test_a_growing_memory_draws_the_same(
    language: LanguagePolicy, monkeypatch: pytest.MonkeyPatch, rows: type[PaddedRows]
) -> None:
    whole = drawn(language, 40)
    assert max(len(tokens) for tokens, _ in whole) > 20
    monkeypatch.setattr(sampling, "PaddedRows", rows)
    monkeypatch.setattr(sampling, "_FIRST_CAPACITY", 4)
    grown = drawn(language, 40)
    assert [tokens for tokens, _ in grown] == [tokens for tokens, _ in whole]
