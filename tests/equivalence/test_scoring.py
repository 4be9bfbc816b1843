"""Scoring with the prompt shared is scoring with the prompt repeated, in values and in gradients, for every family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict

import pytest
import torch
from helpers.tiny_language import FAMILIES, Tiny, batch, policy, prompts
from torch import Tensor

from kairos.core.types import ActionStats, RolloutBatch
from kairos.policy.language import LanguagePolicy
from kairos.policy.models.lora import LoRA
from kairos.policy.network.attention import gathered_sdpa as gathered
from kairos.policy.network.text import logprobs
from kairos.policy.scoring.repeated import Repeated
from kairos.policy.scoring.shared_prefix import SharedPrefix

GROUPS = [2, 0, 1, 0, 0, 2]
RAGGED = [5, 1, 9, 3, 7, 4]


LENGTHS = {
    "one token each": (GROUPS, [1] * 6),
    "one row each": ([0, 1, 2], [4, 4, 4]),
    "one group": ([1, 1, 1, 1], [1, 6, 2, 6]),
}


class Options(TypedDict, total=False):
    """What `Tiny.policy` may be given."""

    freeze: tuple[str, ...]
    recompute: str
    adapter: LoRA


VARIANTS: Mapping[str, Options] = {
    "trained tower": {},
    "frozen tower": {"freeze": ("vision",)},
    "LoRA": {"adapter": LoRA(rank=2, alpha=4)},
    "LoRA with the tower's": {"adapter": LoRA(rank=2, alpha=4, vision=True)},
    "recomputed": {"recompute": "full"},
}
"""Ways to train a policy: each is tried on every family."""


@pytest.fixture(params=FAMILIES)
def tiny(request: pytest.FixtureRequest) -> Tiny:
    """Each family in turn."""
    return FAMILIES[request.param]


def rows(language: LanguagePolicy, groups: list[int], lengths: list[int], temperature: float = 1.0) -> RolloutBatch:
    cut = language.family.cut
    return batch(prompts(cut.patch * cut.merge), groups, lengths, len(language.processor.loaded), temperature)


def scored(
    language: LanguagePolicy, scorer: Repeated | SharedPrefix, rollouts: RolloutBatch, entropy: bool = True
) -> tuple[ActionStats, dict[str, Tensor]]:
    """Statistics, and the gradient of a loss that weighs every action differently."""
    language.zero_grad()
    language.scorer = scorer
    stats = language(rollouts, entropy=entropy)
    weights = torch.randn(rollouts.mask_BA.shape, generator=torch.Generator().manual_seed(1)) * rollouts.mask_BA
    loss = (weights * stats.logprobs_BA).sum()
    if stats.entropy_BA is not None:
        loss = loss + (weights.flip(0) * stats.entropy_BA).sum() * 0.1
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in language.named_parameters() if p.grad is not None}
    return stats, gradients


def assert_equal_gradients(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys() and ours
    whole = torch.stack([gradient.norm() for gradient in theirs.values()]).norm()
    for name, gradient in theirs.items():
        difference = (ours[name] - gradient).norm()
        assert difference <= 1e-5 * gradient.norm() + 1e-7 * whole, (name, float(difference), float(gradient.norm()))


def assert_same(language: LanguagePolicy, rollouts: RolloutBatch) -> dict[str, Tensor]:
    """Shared and repeated agree; returns the gradients."""
    ours, our_gradients = scored(language, SharedPrefix(), rollouts)
    theirs, their_gradients = scored(language, Repeated(), rollouts)
    torch.testing.assert_close(ours.logprobs_BA, theirs.logprobs_BA, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.entropy_BA, theirs.entropy_BA, atol=1e-5, rtol=0)
    assert (ours.logprobs_BA[rollouts.mask_BA == 0] == 0).all()
    assert (ours.logprobs_BA[rollouts.mask_BA > 0] < 0).all()
    assert_equal_gradients(our_gradients, their_gradients)
    return our_gradients


@pytest.mark.parametrize("variant", VARIANTS)
def test_shared_equals_repeated_in_values_and_gradients(folder: str, tiny: Tiny, variant: str) -> None:
    """Ragged rows, in any order, of several prompts of different lengths."""
    language = tiny.policy(folder, **VARIANTS[variant])
    gradients = assert_same(language, rows(language, GROUPS, RAGGED, temperature=0.7))
    assert all(gradient.norm() > 0 for gradient in gradients.values())
    assert any("vis" in name for name in gradients) == (variant not in ("frozen tower", "LoRA"))


@pytest.mark.parametrize("groups,lengths", LENGTHS.values(), ids=LENGTHS)
def test_lengths_and_groups_of_every_kind(folder: str, tiny: Tiny, groups: list[int], lengths: list[int]) -> None:
    language = tiny.policy(folder)
    rollouts = rows(language, groups, lengths, temperature=0.7)
    if len(set(groups)) < 3:
        rollouts = rollouts.take(list(range(len(groups))))
    assert_same(language, rollouts)


def test_the_tower_matters(folder: str, tiny: Tiny) -> None:
    """Other frames give other values."""
    language = tiny.policy(folder)
    rollouts = rows(language, GROUPS, RAGGED)
    with torch.no_grad():
        values = language(rollouts).logprobs_BA
        darker = [
            replace(p, clip=replace(p.clip, frames_TCHW=p.clip.frames_TCHW // 2), layout=None) for p in rollouts.prompts
        ]
        other = language(replace(rollouts, prompts=tuple(darker))).logprobs_BA
    assert (other - values).abs()[rollouts.mask_BA > 0].min() > 1e-6


def test_a_hole_in_the_mask_hides_an_action_but_not_its_token(folder: str, tiny: Tiny) -> None:
    language = tiny.policy(folder)
    rollouts = rows(language, GROUPS, RAGGED)
    mask = rollouts.mask_BA.clone()
    mask[2, 3] = 0
    mask[4] = 0
    holed = replace(rollouts, mask_BA=mask)
    ours, our_gradients = scored(language, SharedPrefix(), holed)
    theirs, their_gradients = scored(language, Repeated(), holed)
    torch.testing.assert_close(ours.logprobs_BA, theirs.logprobs_BA, atol=1e-5, rtol=0)
    assert_equal_gradients(our_gradients, their_gradients)
    whole = language(rollouts).logprobs_BA * mask
    torch.testing.assert_close(ours.logprobs_BA, whole, atol=1e-5, rtol=0)


def test_buckets_of_prompts_change_nothing(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    language = policy(folder)
    rollouts = rows(language, GROUPS, RAGGED)
    together, gradients = scored(language, SharedPrefix(), rollouts)
    monkeypatch.setattr(gathered, "_BUCKET_ELEMENTS", 1)
    apart, other_gradients = scored(language, SharedPrefix(), rollouts)
    torch.testing.assert_close(apart.logprobs_BA, together.logprobs_BA, atol=1e-5, rtol=0)
    assert_equal_gradients(other_gradients, gradients)


def test_chunks_of_the_head_change_nothing() -> None:
    head = torch.nn.Linear(8, 50)
    chosen = torch.randint(4, 50, (23,))

    def run(chunk_elements: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        head.zero_grad()
        hidden = torch.randn(23, 8, generator=torch.Generator().manual_seed(2)).requires_grad_()
        values, entropies = logprobs.chosen_logprobs(hidden, head, chosen, 0.7, (1, 2), True, chunk_elements)
        (values.sum() + 2 * entropies.sum()).backward()
        return values.detach(), entropies.detach(), hidden.grad, head.weight.grad.clone()

    for whole, chunked in zip(run(2**20), run(200), strict=True):
        torch.testing.assert_close(chunked, whole)
    logits = (head(torch.randn(23, 8, generator=torch.Generator().manual_seed(2))) / 0.7).detach()
    logits[:, [1, 2]] = -torch.inf
    distribution = torch.distributions.Categorical(logits=logits)
    torch.testing.assert_close(run(200)[0], distribution.log_prob(chosen))
    probabilities = distribution.probs[:, [0, *range(3, 50)]]
    torch.testing.assert_close(run(200)[1], -(probabilities * probabilities.log()).sum(-1))


def test_the_order_of_rows_and_their_company_change_nothing(folder: str, tiny: Tiny) -> None:
    language = tiny.policy(folder)
    rollouts = rows(language, GROUPS, RAGGED)
    whole = language(rollouts).logprobs_BA
    picked = [4, 2, 1]
    torch.testing.assert_close(language(rollouts.take(picked)).logprobs_BA, whole[picked], atol=1e-5, rtol=0)


def test_a_vision_token_has_no_probability(folder: str) -> None:
    language = policy(folder)
    rollouts = rows(language, [0, 1], [3, 3]).take([0, 1])
    actions = rollouts.actions_BA.clone()
    actions[0, 1] = language.processor.markers.pad
    last = replace(rollouts, actions_BA=actions[:, :2], mask_BA=rollouts.mask_BA[:, :2])
    assert float(language(last).logprobs_BA.detach()[0, 1]) < -1e20
    with pytest.raises(ValueError, match="vision tokens"):
        language.encode("<answer><|video_pad|></answer>")
