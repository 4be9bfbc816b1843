"""Recomputation changes what is kept and how often matrices are multiplied, never a value or a gradient."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_scoring import GROUPS, RAGGED, assert_equal_gradients, rows, scored
from tiny_language import policy
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from kairos.policy import recompute
from kairos.policy.adapters import LoRA
from kairos.policy.language import LanguagePolicy
from kairos.policy.processor import LanguageProcessor
from kairos.policy.recompute import Chooser, Stack, loads, stacks
from kairos.policy.scoring.repeated import Repeated
from kairos.policy.scoring.shared_prefix import SharedPrefix


class Products(TorchDispatchMode):
    """Counts matrix products that are really computed, and calls of attention."""

    def __init__(self) -> None:
        super().__init__()
        self.products = self.attentions = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function)
        self.products += name in ("aten.mm.default", "aten.addmm.default")
        self.attentions += "attention" in name and "backward" not in name
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("scorer", "adapted"),
    [(SharedPrefix(), False), (Repeated(), False), (SharedPrefix(), True)],
    ids=["shared", "repeated", "shared, with an adapter"],
)
def test_every_level_gives_the_same_values_and_gradients(
    folder: str, scorer: SharedPrefix | Repeated, adapted: bool
) -> None:
    language = policy(folder)
    if adapted:
        LoRA(rank=4, alpha=8, vision=True).attach(language.model, language.family)
        for name, parameter in language.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    rollouts = rows(language, GROUPS, RAGGED)
    found: dict[str, tuple[Tensor, Products]] = {}
    expected: dict[str, Tensor] = {}
    for level in recompute.LEVELS:
        recompute.use(language.model, level)
        with Products() as counted:
            stats, gradients = scored(language, scorer, rollouts)
        found[level] = stats.logprobs_BA.detach(), counted
        expected = expected or gradients
        assert_equal_gradients(gradients, expected)
        torch.testing.assert_close(found[level][0], found["none"][0])
    none, selective, full = (found[level][1] for level in recompute.LEVELS)
    assert none.products < selective.products < full.products
    assert none.attentions == selective.attentions < full.attentions


def test_auto_takes_what_fits_and_says_why(folder: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    plain, chosen = policy(folder), policy(folder)
    chosen.recompute = "auto"
    rollouts = rows(plain, GROUPS, RAGGED)
    stats, gradients = scored(plain, SharedPrefix(), rollouts)
    other, other_gradients = scored(chosen, SharedPrefix(), rollouts)
    assert torch.equal(other.logprobs_BA, stats.logprobs_BA)
    assert_equal_gradients(other_gradients, gradients)
    scored(chosen, SharedPrefix(), rollouts)
    said = [record.message for record in caplog.records if "policy.recompute=auto" in record.message]
    assert len(said) == 1 and said[0] == chosen.chooser.words
    assert "chose none for" in said[0] and "GB are free" in said[0]


def test_auto_saves_memory_when_there_is_too_little_and_does_not_go_back(folder: str) -> None:
    model, choose = policy(folder).model, Chooser()
    assert choose(model, [Stack(layers=2, inputs=10, outputs=10, width=4, tokens=100)]) == "none"
    assert choose(model, [Stack(layers=2, inputs=10, outputs=10, width=4, tokens=10**12)]) == "full"
    assert "chose full for 1,000,000,000,000 tokens" in choose.words
    assert choose(model, [Stack(layers=2, inputs=10, outputs=10, width=4, tokens=10**12 + 1)]) == "full"
    assert choose(model, [Stack(layers=2, inputs=10, outputs=10, width=4, tokens=100)]) == "full"
    assert all(layer.gradient_checkpointing for layer in model.model.language_model.layers)


@pytest.mark.parametrize("freeze", [(), ("vision",)], ids=["trained tower", "frozen tower"])
def test_the_estimate_is_near_what_autograd_keeps(folder: str, freeze: tuple[str, ...]) -> None:
    language = policy(folder, freeze=freeze)
    rollouts = rows(language, GROUPS * 4, RAGGED * 4)
    rollouts = replace(rollouts, prompts=tuple(replace(p, layout=language.processor(p)) for p in rollouts.prompts))
    own = {parameter.data_ptr() for parameter in language.parameters()}
    held: list[Tensor] = []  # alive, so that no two of them lie in the same place

    def hold(tensor: Tensor) -> Tensor:
        held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        language(rollouts).logprobs_BA.sum()
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in held}
    kept = sum(size for place, size in storages.items() if place not in own)
    estimates = stacks(language.model, language.family, *loads(rollouts, shared=True))
    assert len(estimates) == (1 if freeze else 2)
    estimated = sum(stack.bytes("none", 4) for stack in estimates)
    assert 0.5 < estimated / kept < 1.5, (estimated, kept)
    levels = [sum(stack.bytes(level, 4) for stack in estimates) for level in recompute.LEVELS]
    assert levels == sorted(levels, reverse=True) and len(set(levels)) == 3


def test_an_unknown_level_is_refused(folder: str) -> None:
    with pytest.raises(ValueError, match=r"policy\.recompute must be one of none, selective, full, auto, got 'some'"):
        LanguagePolicy(LanguageProcessor(folder), weights="nowhere", recompute="some")
