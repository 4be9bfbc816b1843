"""Truncated importance weights correct for a sampler whose log-probs are not the policy's."""

from __future__ import annotations

import pytest
import torch

from kairos.core.types import ActionStats, Prompt, RolloutBatch, Target, VideoClip
from kairos.objective.surrogates import SequenceSurrogate, WeighingSurrogate
from kairos.objective.terms import ClippedSurrogate

SURROGATES = [ClippedSurrogate, SequenceSurrogate, WeighingSurrogate]


def batch_of(behavior_BA: torch.Tensor | None, old_BA: torch.Tensor | None = None) -> RolloutBatch:
    prompt = Prompt("p", "grounding", "test", VideoClip("c", None, torch.zeros(0), 1.0), "", Target())
    return RolloutBatch(
        (prompt,), torch.zeros(2, dtype=torch.long), torch.zeros(2, 3, dtype=torch.long),
        torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]), torch.zeros(2, dtype=torch.long), torch.tensor([1.0, -0.5]),
        torch.ones(2), behavior_logprobs_BA=behavior_BA, old_logprobs_BA=old_BA,
    )  # fmt: skip


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_every_action_is_weighed_by_how_much_likelier_it_is_than_it_was_sampled(surrogate):
    logprobs_BA = torch.full((2, 3), -1.0, requires_grad=True)
    behavior_BA = torch.tensor([[-1.0, -1.5, -4.0], [float("nan"), float("nan"), 0.0]])
    plain = surrogate()(ActionStats(logprobs_BA), batch_of(behavior_BA))
    weighed = surrogate(importance_limit=2.0)(ActionStats(logprobs_BA), batch_of(behavior_BA))
    expected = torch.tensor([[0.0, 0.5, 3.0], [0.0, 0.0, 0.0]]).exp().clamp(max=2.0)
    assert torch.allclose(weighed, expected * plain)
    gradients = [torch.autograd.grad(term.sum(), logprobs_BA)[0] for term in (plain, weighed)]
    inside = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    assert torch.allclose(gradients[1] * inside, expected * gradients[0] * inside) or surrogate is SequenceSurrogate
    assert torch.isfinite(gradients[1]).all() and gradients[1].any()


def test_the_weight_compares_the_policy_before_the_updates_with_the_sampler():
    old_BA, behavior_BA = torch.full((2, 3), -1.0), torch.full((2, 3), -1.3)
    stats = ActionStats(torch.full((2, 3), -0.9))
    term = ClippedSurrogate(importance_limit=2.0)
    assert torch.allclose(term.importance(stats, batch_of(behavior_BA, old_BA))[0], torch.full((3,), 0.3).exp())
    assert term.importance(stats, batch_of(None, old_BA)) == 1.0


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ValueError, match="importance_limit must be > 0"):
        ClippedSurrogate(importance_limit=0.0)
