"""A joint product gives the layers' values and gradients, and casts weights once inside `weights_cast_once`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from helpers.casting import cast_to_bf16
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from kairos.policy.network.kernels.dispatch import joinable, only_multiply
from kairos.policy.network.kernels.joint_linear import joint, joint_mlp, outputs, weights_cast_once

SIZES = (6, 3, 5)
LOW = 2**-7  # bf16 rounds to 8 bits: what two orders of summing may differ by, relative to the largest


def linears(*biased: bool, sizes: tuple[int, ...] = SIZES) -> nn.ModuleList:
    torch.manual_seed(0)
    return nn.ModuleList([nn.Linear(8, size, bias) for size, bias in zip(sizes, biased or [True] * 3, strict=True)])


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).requires_grad_()


def results(x: Tensor, parts: nn.ModuleList, pieces: Callable[..., object]) -> list[Tensor]:
    """The outputs, and the gradient of every tensor that requires one."""
    pieces_ = list(pieces(x, *parts))  # type: ignore[call-overload]
    loss = torch.stack([(piece.float().sin() * (n + 1)).sum() for n, piece in enumerate(pieces_)]).sum()
    wanted = [leaf for leaf in (x, *parts.parameters()) if leaf.requires_grad]
    return [*pieces_, *torch.autograd.grad(loss, wanted)]


def separate(x: Tensor, *parts: nn.Linear) -> list[Tensor]:
    return [part(x) for part in parts]


def together(x: Tensor, *parts: nn.Linear) -> tuple[Tensor, ...]:
    return joint(x, *parts).split([part.out_features for part in parts], dim=-1)


@pytest.mark.parametrize("biased", [(True, True, True), (False, False, False), (True, False, True)])
@pytest.mark.parametrize("shape", [(7, 8), (1, 7, 8), (2, 3, 8), (0, 8)])
def test_one_product_gives_what_the_layers_give(biased: tuple[bool, ...], shape: tuple[int, ...]) -> None:
    parts, x = linears(*biased), drawn(*shape)
    for ours, theirs in zip(results(x, parts, together), results(x, parts, separate), strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_of_a_single_layer_too() -> None:
    parts, x = linears(True, sizes=(6,)), drawn(7, 8)
    for ours, theirs in zip(results(x, parts, together), results(x, parts, separate), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("frozen", ["0", "1.weight", "bias", "weight", "x", "x weight"])
def test_what_is_frozen_gets_no_gradient(frozen: str) -> None:
    parts, x = linears(), drawn(7, 8)
    x.requires_grad_("x" not in frozen)
    for name, parameter in parts.named_parameters():
        parameter.requires_grad_(not any(word in name for word in frozen.split()))
    for ours, theirs in zip(results(x, parts, together), results(x, parts, separate), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    joint(x, *parts).sum().backward()
    assert all((leaf.grad is not None) == leaf.requires_grad for leaf in (x, *parts.parameters()))


def test_zeros_follow_each_part_and_what_is_beyond_its_width_is_not_read() -> None:
    parts = linears()
    x, wide = drawn(7, 8), drawn(7, 10)
    padded = joint(x, *parts, pad_columns=2).split([size + 2 for size in SIZES], dim=-1)
    for piece, part in zip(padded, parts, strict=True):
        torch.testing.assert_close(piece[:, :-2], part(x))
        assert piece[:, -2:].count_nonzero() == 0
    torch.testing.assert_close(joint(wide, *parts), torch.cat(separate(wide[:, :8], *parts), dim=-1))
    leaves = [wide, *parts.parameters()]
    ours = torch.autograd.grad(joint(wide, *parts, pad_columns=2).sin().sum(), leaves)
    theirs = torch.autograd.grad(torch.cat(separate(wide[:, :8], *parts)[:], dim=-1).sin().sum(), leaves)
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, expected)
        assert mine.is_contiguous()


def test_under_autocast_it_computes_in_bf16_and_gradients_are_fp32() -> None:
    parts, x = linears(), drawn(64, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert joinable(x, *parts)
        ours, theirs = results(x, parts, outputs), results(x, parts, separate)
    for mine, expected in zip(ours, theirs, strict=True):
        assert mine.dtype == expected.dtype
        assert (mine - expected).abs().max() <= LOW * expected.abs().max()


def test_recomputed_it_is_the_same() -> None:
    parts, x = linears(), drawn(7, 8)

    def again(x: Tensor, *parts: nn.Linear) -> tuple[Tensor, ...]:
        return checkpoint(outputs, x, *parts, use_reentrant=False)

    with torch.autocast("cpu", torch.bfloat16):
        for ours, theirs in zip(results(x, parts, again), results(x, parts, outputs), strict=True):
            assert torch.equal(ours, theirs)


def test_no_gradient_shares_a_number_with_another() -> None:
    """Gradients are views of one matrix, and yet each can be changed, added to or dropped separately."""
    parts, x = linears(), drawn(7, 8)
    parameters = list(parts.parameters())
    expected = torch.autograd.grad(torch.cat(separate(x, *parts), dim=-1).sin().sum(), parameters)
    joint(x, *parts).sin().sum().backward()
    for number, parameter in enumerate(parameters):
        assert parameter.grad is not None and parameter.grad.is_contiguous()
        parameter.grad.mul_(number + 2)
    joint(x, *parts).sin().sum().backward()
    for number, (parameter, gradient) in enumerate(zip(parameters, expected, strict=True)):
        torch.testing.assert_close(parameter.grad, (number + 3) * gradient)
    optimizer, before = torch.optim.SGD(parameters, lr=0.1, foreach=True), [p.detach().clone() for p in parameters]
    torch.nn.utils.clip_grad_norm_(parameters, 1e9)
    optimizer.step()
    for number, (parameter, gradient) in enumerate(zip(parameters, expected, strict=True)):
        torch.testing.assert_close(parameter.detach(), before[number] - 0.1 * (number + 3) * gradient)
    parameters[0].grad = None
    joint(x, *parts).sum().backward()
    assert parameters[0].grad is not None and parameters[0].grad.shape == parameters[0].shape


class Copies(TorchDispatchMode):
    """Counts the numbers that are cast to bf16."""

    def __init__(self) -> None:
        super().__init__()
        self.cast = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.cast += sum(source.numel() for source in cast_to_bf16(function, args, out))
        return out


@torch.no_grad()
def test_where_they_are_remembered_weights_are_cast_once_and_forgotten_afterwards() -> None:
    parts, x = linears(), drawn(7, 8).bfloat16()
    size = sum(parameter.numel() for parameter in parts.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        with weights_cast_once(), Copies() as copies:
            first = outputs(x, *parts)
            assert copies.cast == size
            assert all(torch.equal(a, b) for a, b in zip(outputs(x, *parts), first, strict=True))
            assert copies.cast == size
            outputs(x, parts[0])
            assert copies.cast == size + parts[0].weight.numel() + SIZES[0], "not the rows of another's matrix"
        parts[0].weight.zero_()
        changed, rest = outputs(x, *parts)[:2]
        torch.testing.assert_close(changed, parts[0](x))
        assert torch.equal(rest, first[1])
        with Copies() as copies:
            outputs(x, *parts)
            outputs(x, *parts)
        assert copies.cast == 2 * size
        with weights_cast_once():
            torch.testing.assert_close(outputs(x, *parts)[0], parts[0](x))


def test_weights_that_need_no_cast_are_not_copied() -> None:
    parts = linears()
    x, low = drawn(7, 8), linears().bfloat16()
    assert only_multiply(*parts) and not joinable(x, *parts)
    with torch.autocast("cpu", torch.bfloat16):
        assert joinable(x, *parts) and not joinable(x, *low)


@pytest.mark.parametrize("hook", ["register_forward_hook", "register_forward_pre_hook"])
def test_hooks_are_called(hook: str) -> None:
    parts, x = linears(), drawn(7, 8)
    called = []
    getattr(parts[1], hook)(lambda *given: called.append(len(given)))
    with torch.autocast("cpu", torch.bfloat16):
        outputs(x, *parts)
    assert len(called) == 1


def test_an_adapter_is_not_passed_over() -> None:
    parts, x = linears(), drawn(7, 8)
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["1"], init_lora_weights=False), parts)
    with torch.autocast("cpu", torch.bfloat16):
        assert not joinable(x, *parts) and joinable(x, parts[0])
        for ours, theirs in zip(outputs(x, *parts), separate(x, *parts), strict=True):
            assert torch.equal(ours, theirs)


def test_compiled_they_are_plain_layers() -> None:
    parts, x = linears(), drawn(7, 8)
    compiled = torch.compile(lambda x: tuple(outputs(x, *parts)), backend="eager", fullgraph=True)
    with torch.autocast("cpu", torch.bfloat16):
        for ours, theirs in zip(compiled(x), separate(x, *parts), strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("low", [False, True], ids=["fp32", "autocast"])
def test_the_input_is_kept_once_and_only_where_a_weight_learns(low: bool) -> None:
    parts, x = linears(False, False, False), drawn(32, 8)
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    for trained in (True, False):
        parts.requires_grad_(trained)
        kept.clear()
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16) if low else nullcontext(),
        ):
            joint(x, *parts)
        assert sorted(map(len, kept)) == ([sum(SIZES), 32] if trained else [sum(SIZES)])
        assert {tensor.dtype for tensor in kept} == {torch.bfloat16 if low else torch.float32}


def mlp(biased: bool) -> nn.ModuleList:
    torch.manual_seed(0)
    return nn.ModuleList([nn.Linear(8, 6, biased), nn.Linear(8, 6, biased), nn.Linear(6, 8, biased)])


@pytest.mark.parametrize("frozen", ["", "0", "weight", "2", "bias"])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("low", [False, True], ids=["fp32", "autocast"])
def test_an_mlp_in_one_gives_what_its_layers_give(low: bool, biased: bool, frozen: str) -> None:
    """Recomputed or not, padded or not: all are the same bit for bit."""
    parts, x, found = mlp(biased), drawn(7, 8), []
    for name, parameter in parts.named_parameters():
        parameter.requires_grad_(not frozen or frozen not in name)

    def apart(x: Tensor, gate: nn.Linear, up: nn.Linear, down: nn.Linear) -> list[Tensor]:
        return [down(nn.functional.silu(gate(x)) * up(x))]

    with torch.autocast("cpu", torch.bfloat16) if low else nullcontext():
        for again in (False, True):
            found.append(results(x, parts, lambda x, *parts, again=again: [joint_mlp(x, *parts, again)]))
        padded = results(x, parts, lambda x, *parts: [joint_mlp(x, *parts, True, pad_columns=2)])
        expected = results(x, parts, apart)
    for kept, again, filled, theirs in zip(*found, padded, expected, strict=True):
        assert torch.equal(kept, again)
        for ours in (kept, filled):
            assert ours.dtype == theirs.dtype
            assert (ours - theirs).abs().max() <= (4 * LOW if low else 1e-5) * theirs.abs().max()


def test_an_mlp_that_is_computed_again_keeps_its_input_alone() -> None:
    parts, x = mlp(True), drawn(32, 8)
    own, kept = {parameter.data_ptr() for parameter in parts.parameters()}, []
    for again in (False, True):
        kept.append(0)

        def keep(tensor: Tensor) -> Tensor:
            kept[-1] += tensor.numel() * (tensor.data_ptr() not in own)
            return tensor

        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16),
        ):
            joint_mlp(x.bfloat16(), *parts, again)
    weights = sum(part.weight.numel() for part in parts)
    assert kept == [x.numel() + 2 * 32 * 6 + weights, x.numel()]


@pytest.mark.gpu
@pytest.mark.parametrize("pad_columns", [0, 8])
def test_on_a_gpu_gradients_of_weights_are_finer_than_autocast_gives_them(pad_columns: int) -> None:
    torch.manual_seed(0)
    parts = nn.ModuleList([nn.Linear(256, size) for size in (512, 64, 64)]).cuda()
    x, leaves = torch.randn(1000, 256, device="cuda", requires_grad=True), list(parts.parameters())

    def pieces() -> list[Tensor]:
        whole = joint(x, *parts, pad_columns=pad_columns).split(
            [part.out_features + pad_columns for part in parts], dim=-1
        )
        return [piece[:, : part.out_features] for piece, part in zip(whole, parts, strict=True)]

    def gradients(pieces: list[Tensor]) -> list[Tensor]:
        grads = [torch.randn(p.shape, generator=torch.Generator("cuda").manual_seed(n), device="cuda").to(p.dtype)
                 for n, p in enumerate(pieces)]  # fmt: skip
        return [*torch.autograd.grad(pieces, [x, *leaves], grads)]

    with torch.autocast("cuda", torch.bfloat16):
        ours, theirs = pieces(), separate(x, *parts)
    for mine, expected in zip(ours, theirs, strict=True):
        assert mine.dtype == expected.dtype == torch.bfloat16
        assert (mine - expected).abs().max() <= LOW * expected.abs().max()
    low = x.detach().bfloat16().double()
    finer = gradients(ours)
    for mine, expected in zip(finer, gradients(theirs), strict=True):
        assert mine.dtype == expected.dtype == torch.float32 and mine.is_contiguous()
        assert (mine - expected).norm() <= LOW * expected.norm()
    drawn_ = [torch.randn(p.shape, generator=torch.Generator("cuda").manual_seed(n), device="cuda").bfloat16().double()
              for n, p in enumerate(theirs)]  # fmt: skip
    for part, gradient in enumerate(drawn_):
        weight, bias = finer[1 + 2 * part], finer[2 + 2 * part]
        assert (weight - gradient.T @ low).norm() <= 1e-5 * weight.norm(), "no rounding to bf16"
        assert (bias - gradient.sum(0)).norm() <= 1e-5 * bias.norm()
