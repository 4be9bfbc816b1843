"""GSPO's ratio of sequences and CISPO's fixed weights, by hand and in their gradients."""

from __future__ import annotations

import pytest
import torch
from test_loss_terms import batch_of

from kairos.core.types import ActionStats
from kairos.objective.aggregations import SequenceMean
from kairos.objective.surrogates import SequenceSurrogate, WeighingSurrogate
from kairos.objective.terms import ClippedSurrogate

MASK = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
NAN = torch.where(MASK > 0, 0.0, float("nan"))


def test_a_sequence_has_one_ratio_its_geometric_mean():
    new_BA, old_BA = torch.randn(4, 3) + NAN, torch.randn(4, 3) + NAN
    batch = batch_of(mask_BA=MASK, old_logprobs_BA=old_BA)
    ratio_BA = SequenceSurrogate().ratio(ActionStats(new_BA), batch)
    expected = [float((new_BA - old_BA)[row][MASK[row] > 0].mean().exp()) for row in range(3)]
    assert ratio_BA[:, 0].tolist() == pytest.approx([*expected, 1.0])
    assert torch.equal(ratio_BA, ratio_BA[:, :1].expand(4, 3))


def test_the_loss_of_a_row_is_that_of_its_ratio_whatever_its_length():
    new_BA = (torch.randn(4, 3) * 1e-4 + NAN).requires_grad_()
    batch = batch_of(mask_BA=MASK, old_logprobs_BA=torch.zeros(4, 3))
    term = SequenceSurrogate(0.01, 0.01)
    weight_BA, _ = SequenceMean()(MASK, batch.group_of_B, batch.weights_B)
    (weight_BA * term(ActionStats(new_BA), batch)).sum().backward()
    for row, length in ((0, 3), (1, 2), (2, 1)):
        ratio = float(term.ratio(ActionStats(new_BA), batch)[row, 0].detach())
        expected = -float(batch.advantages_B[row]) * ratio / length
        assert new_BA.grad[row, :length].tolist() == pytest.approx([expected] * length, rel=1e-4)
    assert not new_BA.grad[MASK == 0].any()


def test_a_sequence_out_of_bounds_has_no_gradient():
    new_BA = torch.full((2, 3), 0.01, requires_grad=True)
    batch = batch_of(2, old_logprobs_BA=torch.zeros(2, 3), advantages_B=torch.tensor([1.0, -1.0]))
    SequenceSurrogate()(ActionStats(new_BA), batch).sum().backward()
    assert not new_BA.grad[0].any() and bool(new_BA.grad[1].all())


@pytest.mark.parametrize("term", [SequenceSurrogate(), WeighingSurrogate()])
def test_after_one_update_each_is_the_policy_gradient(term):
    logprobs_BA = (torch.randn(4, 3) + NAN).requires_grad_()
    batch = batch_of(mask_BA=MASK)
    weight_BA, _ = SequenceMean()(MASK, batch.group_of_B, batch.weights_B)
    (weight_BA * term(ActionStats(logprobs_BA), batch)).sum().backward()
    plain_BA = logprobs_BA.detach().clone().requires_grad_()
    (weight_BA * ClippedSurrogate()(ActionStats(plain_BA), batch)).sum().backward()
    assert torch.allclose(logprobs_BA.grad, plain_BA.grad, atol=1e-6)


def test_a_weighed_action_keeps_its_gradient_beyond_the_bound():
    new_BA = torch.tensor([[0.5, 0.0, -3.0]], requires_grad=True)
    batch = batch_of(1, old_logprobs_BA=torch.zeros(1, 3), advantages_B=torch.tensor([2.0]))
    term = WeighingSurrogate()
    term(ActionStats(new_BA), batch).sum().backward()
    assert new_BA.grad[0].tolist() == pytest.approx([-2 * 1.28, -2.0, -2 * torch.tensor(-3.0).exp().item()])
    assert not term.clipped(ActionStats(new_BA), batch).any()
