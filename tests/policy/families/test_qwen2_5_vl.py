"""The vision tower of Qwen2.5-VL against transformers': values and gradients, on grids that windows do not divide."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.tiny_language import FAMILIES, clip, prompt
from torch import Tensor

from kairos.core.types import Prompt
from kairos.policy.families.qwen2_5_vl import Qwen25VL
from kairos.policy.language import LanguagePolicy
from kairos.policy.network.vision.patches import frames_of
from kairos.policy.network.vision.windows import windows

SIZES = {
    "one window": [(4, 56, 56)],
    "edges below and right": [(4, 140, 84)],
    "smaller than a window": [(2, 28, 28)],
    "a strip": [(6, 28, 196)],
    "several, one size twice, an odd number of frames": [(4, 84, 84), (3, 84, 84), (8, 56, 112), (2, 140, 28)],
}


@pytest.fixture(scope="module")
def language(folder: str) -> LanguagePolicy:
    return FAMILIES["qwen2_5_vl"].policy(folder)


def asked(language: LanguagePolicy, sizes: list[tuple[int, int, int]]) -> list[Prompt]:
    prompts = [
        prompt(f"p{number}", "When?", clip(f"p{number}", frames, height, width, seed=number))
        for number, (frames, height, width) in enumerate(sizes)
    ]
    return [replace(p, layout=language.processor(p)) for p in prompts]


def gradients(language: LanguagePolicy, features_ND: Tensor) -> dict[str, Tensor]:
    language.zero_grad()
    weights = torch.randn(features_ND.shape, generator=torch.Generator().manual_seed(0))
    (features_ND * weights).sum().backward()
    return {name: p.grad.clone() for name, p in language.towers.vision.named_parameters()}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_the_vision_tower_is_that_of_transformers(language: LanguagePolicy, sizes: list[tuple[int, int, int]]) -> None:
    prompts = asked(language, sizes)
    seen = language.towers.see(prompts)
    ours = gradients(language, seen.tokens_ND)
    tower = language.model.model.visual
    patches = torch.cat([language.family.cut.patches(frames_of(p, "cpu")) for p in prompts])
    grids = torch.cat([p.layout.grid_thw_N3 for p in prompts])
    implementation, tower.config._attn_implementation = tower.config._attn_implementation, "sdpa"
    expected = tower(patches, grid_thw=grids).pooler_output
    theirs = gradients(language, expected)
    tower.config._attn_implementation = implementation
    torch.testing.assert_close(seen.tokens_ND, expected, atol=2e-5, rtol=1e-4)
    assert seen.deepstack == ()
    whole = torch.stack([gradient.norm() for gradient in theirs.values()]).norm()
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).norm() <= 1e-5 * gradient.norm() + 1e-6 * whole, name


def test_windows_of_one_size_lie_together_and_each_token_in_one() -> None:
    order, sizes = windows(9, 10, 4)
    assert sizes == ((4, 16), (2, 8), (2, 4), (1, 2))
    assert sorted(order.tolist()) == list(range(90))
    assert order[:16].tolist() == [10 * row + column for row in range(4) for column in range(4)]


def test_a_model_that_counts_time_or_cuts_patches_otherwise_is_refused(language: LanguagePolicy) -> None:
    config = FAMILIES["qwen2_5_vl"].config(language.processor.loaded)
    with pytest.raises(ValueError, match=r"2 tokens per second, but processor\.family\.tokens_per_second is 4"):
        Qwen25VL(tokens_per_second=4).create(config)
    with pytest.raises(ValueError, match=r"patches \(side, merge, frames\) are \(14, 2, 2\)"):
        Qwen25VL(cut=replace(Qwen25VL().cut, patch=16)).create(config)
