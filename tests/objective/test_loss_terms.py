"""Terms of the loss have the values and the gradients that their formulas say, and are blind outside the mask."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from kairos.core.types import ActionStats, Needs, Prompt, RolloutBatch, Target, VideoClip
from kairos.objective.aggregations import SequenceMean, TokenMean
from kairos.objective.objective import Objective
from kairos.objective.terms import ClippedSurrogate, Entropy, Imitation, ReferenceKL

NAN = float("nan")


def batch_of(rows: int = 4, actions: int = 3, **fields: Tensor | dict[str, Tensor] | None) -> RolloutBatch:
    prompt = Prompt("p", "grounding", "test", VideoClip("c", None, torch.zeros(0), 1.0), "", Target())
    values = {
        "group_of_B": torch.zeros(rows, dtype=torch.long), "actions_BA": torch.zeros(rows, actions, dtype=torch.long),
        "mask_BA": torch.ones(rows, actions), "origin_B": torch.zeros(rows, dtype=torch.long),
        "advantages_B": torch.linspace(-1, 1, rows), "weights_B": torch.ones(rows), **fields,
    }  # fmt: skip
    return RolloutBatch((prompt,), **values)


def test_without_old_log_probs_the_surrogate_is_the_plain_policy_gradient():
    logprobs_BA = torch.randn(4, 3, requires_grad=True)
    batch = batch_of()
    term_BA = ClippedSurrogate()(ActionStats(logprobs_BA), batch)
    assert torch.equal(term_BA, -batch.advantages_B[:, None].expand(4, 3))
    term_BA.sum().backward()
    assert torch.allclose(logprobs_BA.grad, -batch.advantages_B[:, None].expand(4, 3))


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "flows"),
    [
        (1.1, 1.0, -1.1, True), (1.5, 1.0, -1.28, False), (0.5, 1.0, -0.5, True),
        (0.9, -1.0, 0.9, True), (0.5, -1.0, 0.8, False), (1.5, -1.0, 1.5, True),
    ],
)  # fmt: skip
def test_the_surrogate_clips_only_what_would_move_too_far(ratio, advantage, value, flows):
    logprobs_BA = torch.full((1, 1), math.log(ratio), requires_grad=True)
    batch = batch_of(1, 1, old_logprobs_BA=torch.zeros(1, 1), advantages_B=torch.tensor([advantage]))
    term = ClippedSurrogate(0.2, 0.28)
    term_BA = term(ActionStats(logprobs_BA), batch)
    assert term_BA.item() == pytest.approx(value)
    term_BA.sum().backward()
    assert bool(logprobs_BA.grad.any()) is flows
    assert bool(term.clipped(ActionStats(logprobs_BA), batch)) is not flows


def test_a_huge_ratio_does_not_overflow():
    batch = batch_of(1, 1, old_logprobs_BA=torch.full((1, 1), -1000.0), advantages_B=torch.tensor([-1.0]))
    assert torch.isfinite(ClippedSurrogate()(ActionStats(torch.zeros(1, 1)), batch)).all()


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_kl_estimators_are_schulmans(estimator):
    logprobs_BA, reference_BA = torch.randn(4, 3), torch.randn(4, 3)
    ratio_BA = (reference_BA - logprobs_BA).exp()  # reference / policy, sampled from the policy
    expected = {"k1": -ratio_BA.log(), "k2": ratio_BA.log() ** 2 / 2, "k3": ratio_BA - 1 - ratio_BA.log()}[estimator]
    batch = batch_of(reference_logprobs={"start": reference_BA})
    stats = ActionStats(logprobs_BA)
    assert torch.allclose(ReferenceKL(0.5, estimator)(stats, batch), 0.5 * expected, atol=1e-6)
    assert torch.allclose(ReferenceKL(0.5, estimator).divergence(stats, batch), expected, atol=1e-6)


def test_beyond_20_nats_the_k3_estimate_pushes_nowhere_instead_of_the_wrong_way():
    logprobs_BA = torch.tensor([[-30.0, -24.0]], requires_grad=True)
    batch = batch_of(1, 2, reference_logprobs={"start": torch.full((1, 2), -5.0)})
    ReferenceKL(1.0, "k3", limit=None)(ActionStats(logprobs_BA), batch).sum().backward()
    assert logprobs_BA.grad is not None
    beyond, within = logprobs_BA.grad[0].tolist()
    assert beyond == 0.0 and within < 0, "the loss falls as the policy comes nearer to the reference"


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_kl_estimators_are_unbiased(estimator):
    policy, reference = torch.tensor([0.6, 0.3, 0.1]).double(), torch.tensor([0.2, 0.5, 0.3]).double()
    batch = batch_of(3, 1, reference_logprobs={"start": reference.log()[:, None]})
    divergence_BA = ReferenceKL(1.0, estimator).divergence(ActionStats(policy.log()[:, None]), batch)
    exact = (policy * (policy / reference).log()).sum()
    assert float((policy * divergence_BA[:, 0]).sum()) == pytest.approx(float(exact))


def test_the_kl_may_be_held_within_a_limit():
    batch = batch_of(1, 2, reference_logprobs={"start": torch.tensor([[30.0, 0.5]])})
    held = ReferenceKL(1.0, "k3", limit=10.0).divergence(ActionStats(torch.zeros(1, 2)), batch)
    assert held[0].tolist() == pytest.approx([10.0, math.exp(0.5) - 1.5])
    assert torch.isfinite(ReferenceKL()(ActionStats(torch.zeros(1, 2)), batch)).all()


def test_entropy_is_a_bonus_and_imitation_a_likelihood():
    stats = ActionStats(torch.randn(4, 3), torch.rand(4, 3))
    assert torch.equal(Entropy(0.1)(stats, batch_of()), -0.1 * stats.entropy_BA)
    assert torch.equal(Imitation()(stats, batch_of()), -stats.logprobs_BA)


def test_a_term_of_coefficient_zero_needs_nothing():
    assert ReferenceKL(0.0, reference="teacher").needs == Entropy(0.0).needs == Imitation().needs == Needs()
    assert ReferenceKL().needs == Needs(references=frozenset({"start"})) and Entropy(0.1).needs == Needs(entropy=True)
    stats = ActionStats(torch.randn(4, 3))
    assert not ReferenceKL(0.0)(stats, batch_of()).any() and not Entropy(0.0)(stats, batch_of()).any()


def test_a_term_says_what_it_lacks():
    batch = batch_of(reference_logprobs={"start": torch.zeros(4, 3)})
    with pytest.raises(ValueError, match=r"needs reference log-probs of 'teacher', .* has those of \['start'\]"):
        ReferenceKL(reference="teacher")(ActionStats(torch.zeros(4, 3)), batch)
    with pytest.raises(ValueError, match="needs the policy's entropy"):
        Entropy(0.1)(ActionStats(torch.zeros(4, 3)), batch_of())


TERMS = [ClippedSurrogate(), ReferenceKL(1.0, "k1"), ReferenceKL(1.0, "k2"), ReferenceKL(), Entropy(0.1), Imitation()]


@pytest.mark.parametrize("term", TERMS, ids=repr)
def test_what_stands_outside_the_mask_does_not_matter_not_even_nan(term):
    mask_BA = torch.tensor([[1.0, 1.0, 0.0]] * 4)
    garbage_BA = torch.tensor([0.0, 0.0, NAN]).expand(4, 3)
    logprobs_BA = (torch.randn(4, 3) + garbage_BA).requires_grad_()
    entropy_BA = (torch.rand(4, 3) + garbage_BA).requires_grad_()
    batch = batch_of(mask_BA=mask_BA, old_logprobs_BA=torch.randn(4, 3) + garbage_BA,
                     reference_logprobs={"start": torch.randn(4, 3) + garbage_BA})  # fmt: skip
    term_BA = term(ActionStats(logprobs_BA, entropy_BA), batch)
    assert torch.isfinite(term_BA).all() and not term_BA[:, 2].any()
    term_BA.sum().backward()
    for leaf in (logprobs_BA, entropy_BA):
        assert leaf.grad is None or (torch.isfinite(leaf.grad).all() and not leaf.grad[:, 2].any())


@pytest.mark.parametrize("term", TERMS, ids=repr)
def test_gradients_are_those_of_finite_differences(term):
    old_BA, reference_BA = torch.randn(4, 3).double(), torch.randn(4, 3).double()
    batch = batch_of(old_logprobs_BA=old_BA, reference_logprobs={"start": reference_BA},
                     advantages_B=torch.linspace(-1, 1, 4).double())  # fmt: skip
    logprobs_BA = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    entropy_BA = torch.rand(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda lp, h: term(ActionStats(lp, h), batch), (logprobs_BA, entropy_BA))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ClippedSurrogate(clip_low=-0.1), "clip_low must lie"),
        (lambda: ClippedSurrogate(clip_high=-0.1), "clip_high be >= 0"),
        (lambda: ReferenceKL(estimator="k4"), "estimator must be k1, k2 or k3, got 'k4'"),
        (lambda: ReferenceKL(limit=0.0), "limit must be > 0"),
        (lambda: Objective({}, TokenMean()), "at least one term"),
    ],
)
def test_a_part_of_the_objective_checks_itself(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_an_objective_adds_its_terms_and_needs_what_they_need():
    objective = Objective({"surrogate": ClippedSurrogate(), "kl": ReferenceKL(), "bonus": Entropy(0.1)}, SequenceMean())
    assert objective.needs == Needs(entropy=True, references=frozenset({"start"}))
    logprobs_BA = torch.randn(4, 3, requires_grad=True)
    batch = batch_of(reference_logprobs={"start": torch.randn(4, 3)})
    summed_BA, terms = objective.values(ActionStats(logprobs_BA, torch.rand(4, 3)), batch)
    assert torch.allclose(summed_BA, terms["surrogate"] + terms["kl"] + terms["bonus"])
    assert summed_BA.requires_grad and not any(term_BA.requires_grad for term_BA in terms.values())
    weight_BA, denominator = objective.weights(batch.mask_BA, batch.group_of_B, batch.weights_B)
    assert float(denominator) == 4.0 and torch.allclose(weight_BA, torch.full((4, 3), 1 / 3))


def test_the_gradient_of_chosen_frames_is_that_of_tspo():
    """dL/dlogit_t = -(1 / (G K)) * sum_i A_i [t in S_i]: the softmax normaliser cancels, as advantages sum to 0."""
    frames, chosen, group = 10, 4, 6
    logits = torch.randn(frames, dtype=torch.float64, requires_grad=True)
    actions_BA = torch.stack([torch.randperm(frames)[:chosen] for _ in range(group)])
    advantages_B = torch.randn(group, dtype=torch.float64)
    advantages_B -= advantages_B.mean()
    batch = batch_of(group, chosen, actions_BA=actions_BA, advantages_B=advantages_B)
    objective = Objective({"surrogate": ClippedSurrogate()}, SequenceMean())
    weight_BA, denominator = objective.weights(batch.mask_BA, batch.group_of_B, batch.weights_B)
    summed_BA, _ = objective.values(ActionStats(logits.log_softmax(0)[actions_BA]), batch)
    loss = (weight_BA * summed_BA).sum() / denominator
    loss.backward()
    expected = torch.zeros(frames, dtype=torch.float64)
    for row in range(group):
        expected[actions_BA[row]] -= advantages_B[row] / (group * chosen)
    assert loss.item() == pytest.approx(0.0, abs=1e-7) and torch.allclose(logits.grad, expected, atol=1e-7)
