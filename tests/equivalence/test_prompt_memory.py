"""What sampling remembers packed for a GPU is what it remembers padded, and growing changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.tiny_language import policy, prompts

from kairos.core.types import Sampling
from kairos.policy.language import LanguagePolicy
from kairos.policy.sampling.draw import Decoding, draw
from kairos.policy.sampling.prompt_cache import PackedPrompts, PaddedPrompts
from kairos.policy.sampling.row_cache import PackedRows, PaddedRows


@pytest.fixture(scope="module")
def language(folder: str) -> LanguagePolicy:
    return policy(folder)


def drawn(
    language: LanguagePolicy, actions: int, decoding: Decoding | None = None
) -> list[tuple[list[int], list[float]]]:
    decoding = Decoding(PaddedPrompts, PaddedRows) if decoding is None else decoding
    asked = [replace(prompt, layout=language.processor(prompt)) for prompt in prompts()]
    with torch.no_grad():
        seen = language.towers.see(asked)
    sampling, end = Sampling(max_actions=actions), language.processor.end
    found = draw(language.eval().towers, asked, seen, 3, sampling, seed=4, end=end, decoding=decoding)
    return [
        (actions_A[:length].tolist(), logprobs_A[:length].tolist())
        for actions_A, logprobs_A, length in zip(found.actions_BA, found.logprobs_BA, found.length_B, strict=True)
    ]


def test_a_packed_prompt_is_looked_at_as_a_padded_one() -> None:
    lengths, group, generator = (7, 3, 12), 4, torch.Generator().manual_seed(0)
    tokens, rows = sum(lengths), len(lengths) * group
    q, k, v = (torch.randn(tokens, heads, 8, generator=generator) for heads in (4, 2, 2))
    asked = torch.randn(rows, 4, 8, generator=generator)
    results = []
    for kind in (PackedPrompts, PaddedPrompts):
        memory = kind(lengths, group, torch.device("cpu"))
        results.append((memory.prefill(0, q, k, v, 0.3), *memory.attend(0, asked, 0.3)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_packed_and_padded_memories_draw_the_same(language: LanguagePolicy) -> None:
    padded = drawn(language, 20)
    packed = drawn(language, 20, Decoding(PackedPrompts, PackedRows))
    assert [tokens for tokens, _ in packed] == [tokens for tokens, _ in padded]
    for (_, ours), (_, theirs) in zip(packed, padded, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("rows", [PaddedRows, PackedRows])
def test_a_growing_memory_draws_the_same(language: LanguagePolicy, rows: type[PaddedRows]) -> None:
    whole = drawn(language, 40)
    assert max(len(tokens) for tokens, _ in whole) > 20
    grown = drawn(language, 40, Decoding(PaddedPrompts, rows, capacity=4))
    assert [tokens for tokens, _ in grown] == [tokens for tokens, _ in whole]
