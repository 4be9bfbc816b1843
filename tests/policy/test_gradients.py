"""A weight's gradient is added to what is there by the product that sums it: bit for bit what autograd would add."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from kairos.policy import gradients
from kairos.policy.gradients import accumulating, add_product, product
from kairos.policy.linears import joint, joint_mlp

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Layer = Callable[[Tensor, nn.ModuleList], Tensor]
LAYERS: dict[str, tuple[Layer, int]] = {  # and how many matrices it multiplies with
    "one": (lambda x, parts: joint(x, parts[0]), 1),
    "two": (lambda x, parts: joint(x, parts[0], parts[1]), 1),
    "two, with zeros": (lambda x, parts: joint(x, parts[0], parts[1], short=2), 1),
    "MLP": (lambda x, parts: joint_mlp(x, *parts, again=False), 2),
    "MLP again": (lambda x, parts: joint_mlp(x, *parts, again=True), 2),
    "MLP with zeros": (lambda x, parts: joint_mlp(x, *parts, again=True, short=2), 2),
}


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What products are added to."""
    totals: list[Tensor] = []

    def add(total: Tensor, a: Tensor, b: Tensor) -> None:
        totals.append(total)
        add_product(total, a, b)

    monkeypatch.setattr(gradients, "add_product", add)
    return totals


def linears(biased: bool = True) -> nn.ModuleList:
    torch.manual_seed(0)
    sizes = ((8, 6), (8, 6), (6, 8))
    return nn.ModuleList([nn.Linear(*size, bias=biased) for size in sizes]).to(DEVICE)


def drawn(seed: int) -> Tensor:
    return torch.randn(7, 8, generator=torch.Generator().manual_seed(seed)).to(DEVICE).requires_grad_()


def passes(layer: Layer, parts: nn.ModuleList, low: bool, on: bool, count: int = 3) -> list[Tensor | None]:
    """The gradients after several passes, of the parts and of what went into the last."""
    for seed in range(count):
        x = drawn(seed)
        with accumulating(on), torch.autocast(DEVICE, torch.bfloat16) if low else nullcontext():
            out = layer(x, parts)
        out.float().sin().sum().backward()
    return [x.grad, *(parameter.grad for parameter in parts.parameters())]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("low", [False, True], ids=["fp32", "autocast"])
def test_the_sums_are_autograds(name: str, biased: bool, low: bool, added: list[Tensor]) -> None:
    layer, matrices = LAYERS[name]
    parts, twin = linears(biased), linears(biased)
    expected = passes(layer, twin, low, on=False)
    assert not added
    found = passes(layer, parts, low, on=True)
    assert len(added) == 2 * matrices, "the first pass finds nothing to add to"
    for ours, theirs in zip(found, expected, strict=True):
        if ours is None or theirs is None:
            assert ours is theirs
        elif DEVICE == "cpu":
            assert torch.equal(ours, theirs)
        else:
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("reason", ["a hook", "a later hook", "apart", "another place", "frozen", "none"])
def test_what_may_not_be_added_to_is_left_to_autograd(reason: str, added: list[Tensor]) -> None:
    layer, _ = LAYERS["two"]
    parts, twin, told = linears(), linears(), []
    for on, module in ((True, parts), (False, twin)):
        passes(layer, module, True, on=False, count=1)
        weight = module[1].weight
        assert weight.grad is not None
        if reason == "a hook":
            weight.register_hook(lambda gradient: gradient * 0.5)
        elif reason == "a later hook":
            weight.register_post_accumulate_grad_hook(lambda parameter, on=on: told.append(on))
        elif reason == "apart":
            weight.grad = weight.grad.clone()
        elif reason == "another place":
            weight.grad = weight.grad.T.contiguous().T
        elif reason == "frozen":
            weight.requires_grad_(False)
        else:
            weight.grad = None
    ours, theirs = passes(layer, parts, True, on=True, count=1), passes(layer, twin, True, on=False, count=1)
    assert not added
    assert told == ([True, False] if reason == "a later hook" else [])
    for mine, expected in zip(ours, theirs, strict=True):
        assert (mine is None) == (expected is None)
        assert mine is None or torch.equal(mine, expected)


def test_gradients_stay_where_they_are_and_weights_of_one_matrix_share_no_number(added: list[Tensor]) -> None:
    layer, _ = LAYERS["two"]
    parts = linears()
    passes(layer, parts, True, on=True, count=1)
    weights = [parts[0].weight, parts[1].weight]
    places = [weight.grad.data_ptr() for weight in weights if weight.grad is not None]
    passes(layer, parts, True, on=True, count=1)
    assert places == [weight.grad.data_ptr() for weight in weights if weight.grad is not None]
    assert len(added) == 1 and added[0].shape == (12, 8) and added[0].data_ptr() == places[0]


def test_outside_autograd_is_asked_as_ever() -> None:
    parts = linears()
    passes(LAYERS["one"][0], parts, False, on=True)
    x = drawn(9)
    with accumulating(), accumulating(False):
        out = joint(x, parts[0])
    (gradient,) = torch.autograd.grad(out.sum(), [parts[0].weight])
    assert gradient is not None


@pytest.mark.gpu
def test_on_a_gpu_the_product_begins_with_what_is_there() -> None:
    a, b = (torch.randn(*shape, device="cuda").bfloat16() for shape in ((512, 1000), (1000, 256)))
    total = torch.randn(512, 256, device="cuda")
    expected = total + product(a, b, torch.float32)
    place, before = total.data_ptr(), torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    add_product(total, a, b)
    assert total.data_ptr() == place
    assert torch.cuda.max_memory_allocated() - before < total.nbytes, "it is not written down"
    torch.testing.assert_close(total, expected, rtol=1e-6, atol=1e-5)
