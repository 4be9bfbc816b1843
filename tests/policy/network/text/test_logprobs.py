"""Entropies of logits as large as trained models give them, against float64."""

from __future__ import annotations

import pytest
import torch

from kairos.policy.network.text.logprobs import chosen_logprobs

SHIFTS = (0.0, 500.0, -500.0)


@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0, 300.0])
@pytest.mark.parametrize("shift", SHIFTS)
def test_the_entropy_of_logits_of_hundreds_is_exact_and_never_negative(spread: float, shift: float) -> None:
    noise = torch.Generator().manual_seed(0)
    logits = (shift + spread * torch.randn(64, 2000, generator=noise)).requires_grad_()
    chosen, banned, weights = torch.zeros(64, dtype=torch.long), [3, 1999], torch.randn(64, generator=noise)
    _, entropy = chosen_logprobs(logits, torch.clone, chosen, banned=banned, entropy=True)
    assert entropy is not None and (entropy >= 0).all()
    (gradient,) = torch.autograd.grad((entropy * weights).sum(), logits)

    exact = logits.detach().double().requires_grad_()
    kept = [column for column in range(2000) if column not in banned]
    expected = torch.distributions.Categorical(logits=exact[:, kept]).entropy()
    torch.testing.assert_close(entropy.double(), expected, atol=1e-5, rtol=1e-5)
    (gradient_expected,) = torch.autograd.grad((expected * weights).sum(), exact)
    torch.testing.assert_close(gradient.double(), gradient_expected, atol=1e-5, rtol=1e-4)
