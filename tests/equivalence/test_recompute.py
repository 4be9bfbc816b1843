"""Recomputation changes what is kept and how often matrices are multiplied, never a value or a gradient."""

from __future__ import annotations

import copy
import gc
import weakref
from dataclasses import replace
from functools import partial

import pytest
import torch
from helpers.tiny_language import policy
from test_scoring import GROUPS, RAGGED, assert_equal_gradients, rows, scored
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from kairos.policy.language import LanguagePolicy
from kairos.policy.memory import recompute
from kairos.policy.memory.activations import Pass, text_activations, vision_activations
from kairos.policy.memory.recompute import Chooser, loads
from kairos.policy.memory.sizes import of_model
from kairos.policy.models.lora import LoRA
from kairos.policy.network.kernels import weight_gradients as gradients
from kairos.policy.network.kernels.weight_gradients import accumulating, add_product
from kairos.policy.processor import LanguageProcessor
from kairos.policy.scoring.repeated import Repeated
from kairos.policy.scoring.shared_prefix import SharedPrefix

PLAIN = Pass(0, 0, "none", gpu=False, fused=False, sharded=False, accumulating=False)


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
        LoRA(rank=4, alpha=8, vision=True).attach(language.towers)
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


@pytest.mark.parametrize("frozen", ["", "embed_tokens", "layers.1.", "mlp"])
def test_layers_computed_again_are_those_of_torchs_own_checkpoint(folder: str, frozen: str) -> None:
    """Bit for bit, in a copy of the model too."""
    language = policy(folder)
    for name, parameter in language.named_parameters():
        parameter.requires_grad_(not frozen or frozen not in name)
    recompute.use(language.model, "full")
    copied, twin = copy.deepcopy(language), copy.deepcopy(language)
    for layer in twin.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
    rollouts = rows(language, GROUPS, RAGGED)
    expected, theirs = scored(twin, SharedPrefix(), rollouts)
    for ours in (language, copied):
        stats, gradients = scored(ours, SharedPrefix(), rollouts)
        assert torch.equal(stats.logprobs_BA, expected.logprobs_BA)
        assert gradients.keys() == theirs.keys()
        assert all(torch.equal(gradients[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("where", "scorer"), [("an adapter", SharedPrefix()), ("an adapter", Repeated()), ("attention", Repeated())]
)
def test_random_numbers_are_drawn_as_before(folder: str, where: str, scorer: SharedPrefix | Repeated) -> None:
    language = policy(folder)
    if where == "an adapter":
        LoRA(rank=4, alpha=8, dropout=0.5).attach(language.towers)
    for name, module in language.named_modules():
        if where == "attention" and "language_model" in name and hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.3
    for name, parameter in language.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    rollouts, found = rows(language, GROUPS, RAGGED), []
    for level in ("none", "full"):
        recompute.use(language.model, level)
        torch.manual_seed(0)
        found.append(scored(language, scorer, rollouts))
    (stats, gradients), (again, gradients_again) = found
    assert torch.equal(stats.logprobs_BA, again.logprobs_BA)
    assert_equal_gradients(gradients_again, gradients)


def test_a_hook_on_a_parameter_is_called_once(folder: str) -> None:
    language = policy(folder)
    recompute.use(language.model, "full")
    weight = language.model.model.language_model.layers[0].mlp.up_proj.weight
    rollouts = rows(language, GROUPS, RAGGED)
    _, before = scored(language, SharedPrefix(), rollouts)
    weight.register_hook(lambda gradient: gradient * 0.5)
    _, after = scored(language, SharedPrefix(), rollouts)
    name = next(name for name, parameter in language.named_parameters() if parameter is weight)
    torch.testing.assert_close(after[name], before[name] * 0.5)


@pytest.mark.parametrize("level", recompute.LEVELS)
def test_gradients_are_added_to_what_is_there(folder: str, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the products themselves, in layers that are computed again too: bit for bit what autograd adds.

    Where the head is the embedding, three summands come in another order.
    """
    places = []

    def add(total: Tensor, a: Tensor, b: Tensor) -> None:
        places.append(total.data_ptr())
        add_product(total, a, b)

    monkeypatch.setattr(gradients, "add_product", add)
    language, found = policy(folder), []
    recompute.use(language.model, level)
    rollouts = rows(language, GROUPS, RAGGED)
    for on in (False, True):
        language.zero_grad()
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16), accumulating(on):
                logprobs = language(rollouts).logprobs_BA
            (logprobs * rollouts.mask_BA).sum().backward()
        assert bool(places) == on
        found.append({name: p.grad for name, p in language.named_parameters() if p.grad is not None})
    own = [gradient.data_ptr() for name, gradient in found[1].items() if ".layers." in name]
    assert len(set(places)) == len(places)
    assert len(set(places) & set(own)) >= 4 * len(language.towers.text.layers)
    (before, after), tied = found, "model.model.language_model.embed_tokens.weight"
    assert before.keys() == after.keys()
    assert {name for name in before if not torch.equal(after[name], before[name])} <= {tied}
    torch.testing.assert_close(after[tied], before[tied], rtol=1e-6, atol=1e-6)


def test_a_model_is_freed_without_the_collector_of_cycles(folder: str) -> None:
    language = policy(folder)
    recompute.use(language.model, "full")
    layers = [weakref.ref(layer) for layer in language.model.model.language_model.layers]
    gc.disable()
    try:
        del language
        assert all(layer() is None for layer in layers)
    finally:
        gc.enable()


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
    language, choose = policy(folder), Chooser()
    model, sizes = language.model, of_model(language.towers)

    def asked(tokens: int) -> str:
        return choose(model, sizes, replace(PLAIN, tokens=tokens))

    assert asked(100) == "none"
    assert asked(10**12) == "full"
    assert "chose full for 1,000,000,000,000 tokens" in choose.words
    assert asked(10**12 + 1) == "full"
    assert asked(100) == "full"
    assert all(layer.gradient_checkpointing for layer in model.model.language_model.layers)


@pytest.mark.parametrize(
    ("graded", "expected"),
    [
        ((False, True, True, False, True), (4 + 8, 8, 8, 4, 0)),
        ((False, False, False), (4 + 8, 4, 4)),
    ],
    ids=["several micro-batches", "one micro-batch"],
)
def test_moments_are_still_to_come_until_a_step_has_been_made(
    folder: str, graded: tuple[bool, ...], expected: tuple[int, ...]
) -> None:
    """Bytes a parameter; `graded` says before which scores gradients are there."""
    language = policy(folder)
    language.recompute, rollouts = "auto", rows(language, GROUPS, RAGGED)
    numbers, found = sum(p.numel() for p in language.parameters()), []
    for has in graded:
        for parameter in language.parameters():
            parameter.grad = torch.zeros_like(parameter) if has else None
        language(rollouts)
        found.append(language.chooser.coming(language.model) / numbers)
    assert tuple(found) == expected


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
    sizes = of_model(language.towers)
    tokens, patches = loads(rollouts, shared=True)
    levels = []
    for level in recompute.LEVELS:
        at = replace(PLAIN, tokens=tokens, patches=patches, recompute=level)
        assert (vision_activations(sizes, at) == 0) == bool(freeze)
        levels.append(text_activations(sizes, at) + vision_activations(sizes, at))
    assert 0.5 < levels[0] / kept < 1.5, (levels, kept)
    assert levels == sorted(levels, reverse=True) and len(set(levels)) == 3


def test_an_unknown_level_is_refused(folder: str) -> None:
    with pytest.raises(ValueError, match=r"policy\.recompute must be one of none, selective, full, auto, got 'some'"):
        LanguagePolicy(LanguageProcessor(folder), weights="nowhere", recompute="some")
