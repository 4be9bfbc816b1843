"""On a GPU: the memory formula is what autograd keeps of the fused layers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers import tiny_language as tiny
from helpers.tiny_architectures import FAMILIES
from torch import Tensor

from kairos.policy.language import LanguagePolicy
from kairos.policy.memory.activations import Pass, text_activations
from kairos.policy.memory.sizes import of_model
from kairos.policy.processor import LanguageProcessor

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("level", ["none", "selective", "full"])
def test_the_formula_is_what_autograd_keeps(name: str, level: str) -> None:
    """Bytes of every further prompt token."""
    family, architecture, side = FAMILIES[name]
    language = LanguagePolicy(
        LanguageProcessor("mini_base", family), config=architecture, freeze=("vision",), recompute=level
    )
    language.build()
    language.cuda()
    sizes = of_model(language.towers)
    (short, few), (long, many) = (kept(language, words, side) for words in (100, 400))
    given = Pass(many - few, 0, level, gpu=True, fused=True, sharded=False, accumulating=False)
    expected = text_activations(sizes, given)
    if level != "none":  # what one layer holds while it is computed again is not kept by the forward pass
        whole = text_activations(sizes, replace(given, recompute="none"))
        again = whole if level == "full" else (whole - expected) * sizes.layers / (sizes.layers - 1)
        expected -= again / sizes.layers
    outside = (many - few) * 16 * sizes.hidden  # the embeddings and the last norm
    assert 0.9 * expected <= long - short <= 1.1 * expected + outside


def kept(language: LanguagePolicy, words: int, side: int) -> tuple[int, int]:
    """(bytes that are kept beside the parameters, tokens of the prompt)."""
    asked = tiny.prompt("a", "red " * words, tiny.clip("a", frames=4, height=2 * side, width=2 * side))
    asked = replace(asked, layout=language.processor(asked))
    storages: dict[int, tuple[int, Tensor]] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.is_cuda:
            storages[tensor.untyped_storage().data_ptr()] = (tensor.untyped_storage().nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        language.score(tiny.batch([asked], [0, 0], [2, 2], 512))
    own = {parameter.untyped_storage().data_ptr() for parameter in language.parameters()}
    assert asked.layout is not None
    return sum(size for place, (size, _) in storages.items() if place not in own), len(asked.layout)
