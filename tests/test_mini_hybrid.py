"""The start of a mini answerer of another family: a hybrid computes with copied weights what the mini base computes."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kairos.compose import compose, part
from kairos.policy.language import LanguagePolicy

CopyShared = Callable[[Mapping[str, Tensor], LanguagePolicy], list[str]]


@pytest.fixture
def copy_shared(repository: Path) -> CopyShared:
    return runpy.run_path(str(repository / "benchmarks" / "mini_hybrid.py"))["copy_shared"]


def policy(*overrides: str) -> LanguagePolicy:
    built = part(compose(list(overrides)).policy)
    assert isinstance(built, LanguagePolicy)
    built.build()
    return built


@torch.no_grad()
def test_a_hybrid_whose_layers_all_attend_writes_as_the_mini_base_does(copy_shared: CopyShared):
    base = policy("policy=mini")
    hybrid = policy("policy=mini_hybrid", "policy.config.text.full_attention_interval=1")
    ids_1L = torch.randint(0, 480, (1, 40), generator=torch.Generator().manual_seed(0))
    before = hybrid.towers.model(input_ids=ids_1L).logits
    assert copy_shared(base.towers.model.state_dict(), hybrid) == []
    expected = base.towers.model(input_ids=ids_1L).logits
    torch.testing.assert_close(hybrid.towers.model(input_ids=ids_1L).logits, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(before, expected, atol=1e-1)


def test_only_the_gated_delta_nets_are_drawn(copy_shared: CopyShared):
    base, hybrid = policy("policy=mini"), policy("policy=mini_hybrid")
    drawn = copy_shared(base.towers.model.state_dict(), hybrid)
    assert drawn and all(".linear_attn." in name for name in drawn)
    shown = torch.equal(
        hybrid.towers.vision.get_parameter("patch_embed.proj.weight"),
        base.towers.vision.get_parameter("patch_embed.proj.weight"),
    )
    assert shown, "the hybrid sees with the base's tower"
