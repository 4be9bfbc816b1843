"""Kernels agree with plain torch in values and gradients, on a GPU where there is one, else as Triton interprets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from helpers.interpreting import interpret, needs_kernels
from torch import Tensor

from kairos.policy.network.kernels import elementwise as fused
from kairos.policy.network.kernels import norms as fused_norms
from kairos.policy.network.kernels.dispatch import uses_triton

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
KINDS = [torch.float32, torch.bfloat16]
FINE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


def test_the_kernels_as_triton_interprets_them() -> None:
    interpret(__file__)


def drawn(*shape: int, kind: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE, kind)


def close(ours: Tensor, theirs: Tensor, kind: torch.dtype = torch.float32) -> None:
    """Equal within the precision of `kind`; a value that was rounded to bf16 on the way stays at that precision."""
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    difference = ((ours.float() - theirs.float()).norm() / theirs.float().norm().clamp(min=1e-30)).item()
    assert difference <= FINE[kind], difference


def agree(fast: Callable[..., Tensor], plain: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Values agree, and gradients of every input that requires one; the twin computes in fp32 and rounds."""
    assert uses_triton(inputs[0])
    results = []
    for function, wide in ((fast, False), (plain, True)):
        leaves = [x.detach().clone().requires_grad_(x.requires_grad) for x in inputs]
        out = function(*(x.float() if wide else x for x in leaves))
        wanted = [x for x in leaves if x.requires_grad]
        grads = torch.autograd.grad((out.float() * drawn(*out.shape, seed=9)).sum(), wanted)
        results.append([out.to(inputs[0].dtype), *grads])
    for ours, theirs in zip(*results, strict=True):
        close(ours, theirs, inputs[0].dtype)


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(3, 5), (2, 1030), (1, 1, 1)])
def test_a_gated_product(kind: torch.dtype, shape: tuple[int, ...]) -> None:
    gate, up = (drawn(*shape, kind=kind, seed=seed).requires_grad_() for seed in (1, 2))
    agree(fused.gated, fused.gated_plain, gate, up)


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(3, 10), (1, 4, 2060), (1, 2), (0, 8)])
def test_a_gated_product_of_both_halves_of_a_tensor(kind: torch.dtype, shape: tuple[int, ...]) -> None:
    pair = drawn(*shape, kind=kind)
    gate, up = (x.float().requires_grad_() for x in pair.chunk(2, dim=-1))
    theirs = fused.gated_plain(gate, up)
    grad = drawn(*theirs.shape, kind=kind, seed=5)
    expected = [torch.cat(torch.autograd.grad(theirs, [gate, up], grad.float()), dim=-1), theirs]
    assert uses_triton(pair)
    close(fused.gated_pair(pair), theirs.to(kind), kind)
    for gradient in (fused.gated_pair_gradient, fused.gated_pair_gradient_plain):
        for ours, wanted in zip(gradient(grad, pair), expected, strict=True):
            close(ours, wanted.to(kind), kind)


@needs_kernels
def test_a_rotation_of_heads_that_lie_among_others() -> None:
    """Queries between gates, as a view: neither contiguous nor with contiguous tokens."""
    whole, angles = drawn(5, 3, 2, 8), drawn(5, 8, seed=3)
    queries, keys = whole.unbind(2)[0], whole.unbind(2)[1][:, :1]
    ours = fused.rotated(queries, keys, angles.cos(), angles.sin())
    for turned, x in zip(ours, (queries, keys), strict=True):
        close(turned, fused.rotated_plain(x, angles.cos(), angles.sin()))


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("heads", "keys", "width", "turning"), [(6, 2, 16, 16), (3, 3, 12, 12), (5, 1, 24, 8)])
def test_a_rotation_of_queries_and_keys_at_once(
    kind: torch.dtype, heads: int, keys: int, width: int, turning: int
) -> None:
    """Queries and keys are views of a joint product; rotated together they equal each rotated alone."""
    product = drawn(7, (heads + 2 * keys) * width, kind=kind).requires_grad_()
    angles = drawn(7, turning, seed=3)

    def heads_of(product: Tensor) -> tuple[Tensor, Tensor]:
        q, k, _ = product.split([heads * width, keys * width, keys * width], dim=-1)
        return q.unflatten(-1, (heads, width)), k.unflatten(-1, (keys, width))

    def at_once(product: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        return torch.cat(fused.rotated(*heads_of(product), cos, sin), dim=1)

    def apart(product: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        return torch.cat([fused.rotated_plain(x, cos, sin) for x in heads_of(product)], dim=1)

    assert not heads_of(product)[0].is_contiguous()
    agree(at_once, apart, product, angles.cos(), angles.sin())


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 9, 40), (1, 300, 3, 12), (2, 2100), (1, 1, 8)])
def test_a_norm(kind: torch.dtype, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_norms, "_PROGRAMS", 4)
    x, gain = drawn(*shape, kind=kind).requires_grad_(), (1 + 0.1 * drawn(shape[-1], seed=4)).requires_grad_()

    def fast(x: Tensor, gain: Tensor) -> Tensor:
        return fused_norms.normed(x, gain, 1e-6, kind)

    def plain(x: Tensor, gain: Tensor) -> Tensor:
        return fused_norms.normed_plain(x, gain, 1e-6, torch.float32)

    agree(fast, plain, x, gain)


@needs_kernels
@pytest.mark.parametrize("kinds", [(a, b) for a in KINDS for b in KINDS], ids=str)
@pytest.mark.parametrize("shape", [(1, 9, 40), (1, 300, 12), (2, 2100), (1, 1, 8)])
def test_a_sum_and_its_norm(
    kinds: tuple[torch.dtype, torch.dtype], shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each summand gets its gradient in its own dtype: that of the sum plus that through the norm."""
    monkeypatch.setattr(fused_norms, "_PROGRAMS", 4)
    wide = torch.promote_types(*kinds)
    coarse = torch.float32 if kinds == (torch.float32, torch.float32) else torch.bfloat16
    leaves = [drawn(*shape, kind=kind, seed=seed) for seed, kind in enumerate(kinds)]
    leaves.append(1 + 0.1 * drawn(shape[-1], seed=4))
    found = []
    for function in (fused_norms.normed_sum, fused_norms.normed_sum_plain):
        x, y, gain = inputs = [leaf.clone().requires_grad_() for leaf in leaves]
        total, out = function(x, y, gain, 1e-6, coarse)
        assert total.dtype == wide and out.dtype == coarse
        weighted = (total.float() * drawn(*shape, seed=8)).sum() + (out.float() * drawn(*shape, seed=9)).sum()
        found.append([total, out, *torch.autograd.grad(weighted, inputs)])
    for ours, theirs in zip(*found, strict=True):
        close(ours, theirs, coarse)
    assert wide != torch.float32 or torch.equal(found[0][0], found[1][0])


@needs_kernels
def test_a_sum_alone_or_its_norm_alone_has_a_gradient() -> None:
    x, y, gain = drawn(3, 10), drawn(3, 10, kind=torch.bfloat16, seed=1), drawn(10, seed=4)
    for which in range(2):
        found = []
        for function in (fused_norms.normed_sum, fused_norms.normed_sum_plain):
            inputs = [leaf.clone().requires_grad_() for leaf in (x, y)]
            out = function(*inputs, gain, 1e-6, torch.float32)[which]
            found.append(torch.autograd.grad((out * drawn(3, 10, seed=9)).sum(), inputs))
        for ours, theirs in zip(*found, strict=True):
            close(ours, theirs, ours.dtype)


@needs_kernels
@pytest.mark.parametrize("kinds", [(a, b) for a in KINDS for b in KINDS], ids=str)
@pytest.mark.parametrize("shape", [(1, 3, 5), (2, 1030), (1,), (0, 8)])
def test_an_addition(kinds: tuple[torch.dtype, torch.dtype], shape: tuple[int, ...]) -> None:
    found = []
    for function in (fused_norms.added, torch.add):
        inputs = [drawn(*shape, kind=kind, seed=seed).requires_grad_() for seed, kind in enumerate(kinds)]
        out = function(*inputs)
        found.append([out, *torch.autograd.grad((out.float() * drawn(*shape, seed=9)).sum(), inputs)])
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)


@needs_kernels
def test_a_norm_of_heads_that_are_views_of_one_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_norms, "_PROGRAMS", 2)
    whole, gain = drawn(70, 60).requires_grad_(), (1 + 0.1 * drawn(12, seed=4)).requires_grad_()

    def heads(norm: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda x, gain: norm(x.split([24, 36], dim=-1)[1].unflatten(-1, (3, 12)), gain, 1e-6, torch.float32)

    assert not whole.split([24, 36], dim=-1)[1].is_contiguous()
    agree(heads(fused_norms.normed), heads(fused_norms.normed_plain), whole, gain)


@needs_kernels
def test_nothing_has_a_norm_and_a_rotation() -> None:
    x, gain = drawn(0, 4).requires_grad_(), torch.ones(4, device=DEVICE)
    fused_norms.normed(x, gain, 1e-6, torch.float32).sum().backward()
    total, out = fused_norms.normed_sum(x, x.bfloat16(), gain, 1e-6, torch.float32)
    (total + out).sum().backward()
    assert fused.rotated(drawn(0, 2, 4), drawn(0, 1, 4), drawn(0, 4), drawn(0, 4))[1].shape == (0, 1, 4)


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heads", [1, 6])
def test_two_softmaxes_become_one(heads: int, kind: torch.dtype) -> None:
    tokens, width = 5, 12
    a, b = (drawn(tokens, heads, width, kind=kind, seed=seed) for seed in (1, 2))
    lse_a, lse_b = drawn(heads, tokens, seed=3), drawn(tokens, heads, seed=4).T
    results = []
    for merge in (fused.merged, fused.merged_plain):
        out = torch.zeros(tokens + 2, heads, width, dtype=kind, device=DEVICE)
        results.append((merge(a, lse_a, b, lse_b, out[2:]), out))
    (lse, ours), (lse_plain, theirs) = results
    close(lse, lse_plain)
    close(ours, theirs, kind)
    assert not ours[:2].any()
    for merge in (fused.merged, fused.merged_plain):
        taken = b.clone()
        assert torch.equal(merge(a, lse_a, taken, lse_b, taken), lse if merge is fused.merged else lse_plain)
        close(taken, theirs[2:], kind)


@needs_kernels
def test_what_was_compiled_for_other_arguments_is_not_launched() -> None:
    """Widths that are 1, multiples of 16 or neither, and addresses that are no multiples of 16, in turn."""
    for width in (16, 1, 17, 16, 33, 1, 32):
        for offset in (0, 1, 0):
            x, gain = drawn(3 * width + offset, seed=width)[offset:].view(3, width), drawn(width, seed=4)
            close(fused_norms.normed(x, gain, 1e-6, torch.float32), fused_norms.normed_plain(x, gain, 1e-6, x.dtype))
            for ours, theirs in zip(
                fused_norms.normed_sum(x, x.bfloat16(), gain, 1e-6, x.dtype),
                fused_norms.normed_sum_plain(x, x.bfloat16(), gain, 1e-6, x.dtype),
                strict=True,
            ):
                close(ours, theirs)


@needs_kernels
def test_a_token_a_row_is_remembered_at_its_step() -> None:
    k, v = drawn(5, 2, 6), drawn(5, 4, 6, seed=1)[:, 1:3]
    step = torch.tensor([2], device=DEVICE)
    for write in (fused.write_kv, fused.write_kv_plain):
        keys, values = (torch.zeros(5, 4, 2, 6, device=DEVICE) for _ in range(2))
        write(k, v, keys, values, step)
        assert torch.equal(keys[:, 2], k) and torch.equal(values[:, 2], v)
        assert keys.count_nonzero() == k.numel() and values.count_nonzero() == v.numel()
