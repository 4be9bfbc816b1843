"""The kernels' log-probs and entropies agree with plain torch's, in values and gradients, in one chunk and in many."""

from __future__ import annotations

import pytest
import torch
from helpers.interpreting import interpret, needs_kernels
from torch import Tensor, nn

from kairos.policy.network.kernels.dispatch import fuses_head
from kairos.policy.network.kernels.token_logprobs import token_logprobs
from kairos.policy.network.kernels.weight_gradients import accumulating
from kairos.policy.network.text.logprobs import chosen_logprobs, token_logprobs_plain

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FINE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
M, D = 7, 16


def test_the_kernels_as_triton_interprets_them() -> None:
    interpret(__file__)


def head_of(width: int, kind: torch.dtype = torch.float32) -> nn.Linear:
    head = nn.Linear(D, width, bias=False)
    weight = torch.randn(width, D, generator=torch.Generator().manual_seed(1))
    head.weight = nn.Parameter(weight.to(DEVICE, kind))
    return head


def drawn(*shape: int, seed: int = 0, kind: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE, kind)


def near(ours: Tensor, theirs: Tensor, kind: torch.dtype) -> None:
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    difference = ((ours.float() - theirs.float()).norm() / theirs.float().norm()).item()
    assert difference <= FINE[kind], difference


@needs_kernels
@pytest.mark.parametrize("kind", FINE)
@pytest.mark.parametrize("rows", [1, 3, 7, 100])
@pytest.mark.parametrize("entropy", [False, True])
@pytest.mark.parametrize(("width", "temperature", "banned"), [(37, 1.0, []), (5000, 0.7, [3, 4096, 4999])])
def test_values_and_gradients(
    kind: torch.dtype, rows: int, entropy: bool, width: int, temperature: float, banned: list[int]
) -> None:
    never = torch.tensor(banned, dtype=torch.long, device=DEVICE)
    wanted = torch.tensor([0, 5, 36, 1, 2, 36, 0], device=DEVICE)
    results = []
    for compute in (token_logprobs, token_logprobs_plain):
        hidden, head = drawn(M, D, kind=kind).requires_grad_(), head_of(width, kind)
        assert fuses_head(head, hidden)
        logprobs, entropies = compute(hidden, head, wanted, temperature, never, entropy, rows)
        loss = (logprobs * drawn(M, seed=2)).sum()
        if entropy:
            loss = loss + (entropies * drawn(M, seed=3)).sum()
        gradients = torch.autograd.grad(loss, [hidden, head.weight])
        results.append([logprobs, *([entropies] if entropy else []), *gradients])
    for ours, theirs in zip(*results, strict=True):
        near(ours, theirs, kind)
    if banned:
        assert not results[0][-1][banned].any()


@needs_kernels
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_the_kernels_entropy_of_logits_of_hundreds_is_near_float64s(scale: float) -> None:
    never, head = torch.tensor([3], device=DEVICE), head_of(5000)
    hidden, wanted = scale * drawn(M, D), torch.zeros(M, dtype=torch.long, device=DEVICE)
    _, entropies = token_logprobs(hidden, head, wanted, 1.0, never, True, 3)
    logits = nn.functional.linear(hidden, head.weight).double().index_fill(1, never, -torch.inf)
    expected = torch.distributions.Categorical(logits=logits).entropy()
    assert (logits.amax(1) > 2 * scale).all()
    torch.testing.assert_close(entropies.double(), expected, atol=1e-6 * scale, rtol=1e-5)


@needs_kernels
def test_an_fp32_head_under_autocast_gets_an_fp32_gradient() -> None:
    never, wanted = torch.tensor([3], device=DEVICE), torch.tensor([0, 5, 36, 1, 2, 36, 0], device=DEVICE)
    results = []
    for compute in (token_logprobs, token_logprobs_plain):
        hidden, head = drawn(M, D).requires_grad_(), head_of(37)
        with torch.autocast(DEVICE, torch.bfloat16):
            logprobs, entropies = compute(hidden, head, wanted, 1.0, never, True, 3)
        gradients = torch.autograd.grad((logprobs * drawn(M, seed=2) + entropies).sum(), [hidden, head.weight])
        results.append([logprobs, entropies, *gradients])
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == torch.float32
        near(ours, theirs, torch.bfloat16)


@needs_kernels
@pytest.mark.parametrize("rows", [3, 100])
def test_the_heads_gradient_is_added_to_what_is_there(rows: int) -> None:
    never, wanted = torch.tensor([3], device=DEVICE), torch.tensor([0, 5, 36, 1, 2, 36, 0], device=DEVICE)
    found = []
    for on in (False, True):
        head = head_of(37)
        for seed in range(2):
            with accumulating(on), torch.autocast(DEVICE, torch.bfloat16):
                logprobs, _ = token_logprobs(drawn(M, D, seed=seed), head, wanted, 1.0, never, False, rows)
            (logprobs * drawn(M, seed=2)).sum().backward()
        found.append(head.weight.grad)
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-6)
    hidden = drawn(M, D).requires_grad_()
    with accumulating(), torch.autocast(DEVICE, torch.bfloat16):
        logprobs, _ = token_logprobs(hidden, head, wanted, 1.0, never, False, rows)
    assert torch.autograd.grad(logprobs.sum(), [hidden, head.weight], allow_unused=True)[1] is None


@needs_kernels
def test_a_chosen_token_that_is_banned_is_out_of_reach_and_teaches_it_nothing() -> None:
    head, never = head_of(37), torch.tensor([4], device=DEVICE)
    logprobs, _ = token_logprobs(drawn(2, D), head, torch.tensor([4, 5], device=DEVICE), 1.0, never, False, 9)
    assert logprobs[0] < -1e29 and logprobs[1] > -1e3
    logprobs.sum().backward()
    assert head.weight.grad is not None and not head.weight.grad[4].any() and head.weight.grad[5].any()


@needs_kernels
def test_only_one_half_is_asked_for() -> None:
    never, wanted = torch.tensor([], dtype=torch.long, device=DEVICE), torch.tensor([1, 2], device=DEVICE)
    head, hidden = head_of(37), drawn(2, D).requires_grad_()
    head.requires_grad_(False)
    token_logprobs(hidden, head, wanted, 1.0, never, False, 1)[0].sum().backward()
    assert hidden.grad is not None and head.weight.grad is None
    head.requires_grad_(True)
    token_logprobs(hidden.detach(), head, wanted, 1.0, never, True, 9)[1].sum().backward()
    assert head.weight.grad is not None and head.weight.grad.any()


@needs_kernels
def test_a_second_backward_pass_through_what_the_first_wrote_over_is_an_error() -> None:
    never, wanted = torch.tensor([], dtype=torch.long, device=DEVICE), torch.tensor([1, 2], device=DEVICE)
    total = token_logprobs(drawn(2, D), head_of(37), wanted, 1.0, never, False, 9)[0].sum()
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


@needs_kernels
def test_heads_with_biases_or_hooks_are_called() -> None:
    hidden, wanted = drawn(3, D), torch.tensor([1, 2, 3], device=DEVICE)
    biased = nn.Linear(D, 37).to(DEVICE)
    assert not fuses_head(biased, hidden)
    hooked = head_of(37)
    hooked.register_forward_hook(lambda module, inputs, output: output * 2)
    assert not fuses_head(hooked, hidden)
    expected = (2 * (hidden @ hooked.weight.T)).log_softmax(-1).gather(1, wanted[:, None]).squeeze(1)
    torch.testing.assert_close(chosen_logprobs(hidden, hooked, wanted)[0], expected)
