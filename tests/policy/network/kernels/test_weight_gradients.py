"""A weight's gradient is added to what is there by the product that sums it: what autograd would add, on a CPU bit for
bit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from kairos.policy.network.kernels import weight_gradients as gradients
from kairos.policy.network.kernels.joint_linear import joint, joint_mlp
from kairos.policy.network.kernels.weight_gradients import accumulating, add_product, product

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Layer = Callable[[Tensor, nn.ModuleList], Tensor]
LAYERS: dict[str, tuple[Layer, int]] = {  # and how many matrices it adds to: zeros only inside an MLP
    "one": (lambda x, parts: joint(x, parts[0]), 1),
    "one, with zeros": (lambda x, parts: joint(x, parts[0], pad_columns=2), 1),
    "two": (lambda x, parts: joint(x, parts[0], parts[1]), 1),
    "two, with zeros": (lambda x, parts: joint(x, parts[0], parts[1], pad_columns=2), 2),
    "MLP": (lambda x, parts: joint_mlp(x, *parts, recompute=False), 2),
    "MLP recomputed": (lambda x, parts: joint_mlp(x, *parts, recompute=True), 2),
    "MLP with zeros": (lambda x, parts: joint_mlp(x, *parts, recompute=True, pad_columns=2), 2),
}


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Collects the tensors that products are added to."""
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
    """The gradients of the layers and of the last input, after several passes."""
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


REASONS = {  # and what is added
    "a hook": 1, "a later hook": 1, "apart": 2, "right behind, in another buffer": 2, "another layout": 1,
    "another dtype": 1, "frozen": 1, "none": 1,
}  # fmt: skip


@pytest.mark.parametrize("reason", REASONS)
def test_what_may_not_be_added_to_is_left_to_autograd(reason: str, added: list[Tensor]) -> None:
    layer, _ = LAYERS["two"]
    parts, twin, hook_calls = linears(), linears(), []
    for on, module in ((True, parts), (False, twin)):
        passes(layer, module, True, on=False, count=1)
        weight = module[1].weight
        assert weight.grad is not None
        if reason == "a hook":
            weight.register_hook(lambda gradient: gradient * 0.5)
        elif reason == "a later hook":
            weight.register_post_accumulate_grad_hook(lambda parameter, on=on: hook_calls.append(on))
        elif reason == "apart":
            weight.grad = weight.grad.clone()
        elif reason == "right behind, in another buffer":
            weight.grad = torch.cat([torch.zeros_like(weight.grad), weight.grad])[len(weight) :]
        elif reason == "another dtype":
            if not hasattr(weight, "grad_dtype"):
                pytest.skip("this torch gives a parameter no gradient of another dtype")
            low, weight.grad = weight.grad.bfloat16(), None
            weight.grad_dtype, weight.grad = torch.bfloat16, low
        elif reason == "another layout":
            weight.grad = weight.grad.T.contiguous().T
        elif reason == "frozen":
            weight.requires_grad_(False)
        else:
            weight.grad = None
    ours, theirs = passes(layer, parts, True, on=True, count=1), passes(layer, twin, True, on=False, count=1)
    assert len(added) == REASONS[reason]
    assert hook_calls == ([True, False] if reason == "a later hook" else [])
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


def test_what_a_weight_was_computed_from_gets_its_gradient(added: list[Tensor]) -> None:
    found = []
    for on in (False, True):
        parts, base = linears(), torch.ones(6, 8, device=DEVICE, requires_grad=True)
        del parts[0].weight
        parts[0].weight = base * 2
        parts[0].weight.retain_grad()
        for seed in range(2):
            with accumulating(on):
                out = joint(drawn(seed), parts[0])
            out.sin().sum().backward(retain_graph=True)
        found.append(base.grad)
    assert not added and torch.equal(found[0], found[1])


def test_what_lies_between_two_gradients_is_not_touched(added: list[Tensor]) -> None:
    """Gradients lie in one buffer with two other rows between them, as many as `pad_columns` would leave."""
    parts = linears(biased=False)
    buffer = torch.zeros(6 + 2 + 6 + 2, 8, device=DEVICE)
    parts[0].weight.grad, parts[1].weight.grad = buffer[:6], buffer[8:14]
    passes(LAYERS["two, with zeros"][0], parts, True, on=True, count=1)
    passes(LAYERS["two"][0], parts, True, on=True, count=1)
    passes(LAYERS["one, with zeros"][0], parts, True, on=True, count=1)
    assert len(added) == 5
    assert buffer[:6].any() and buffer[8:14].any()
    assert not buffer[6:8].any() and not buffer[14:].any()


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
