"""Qwen3.5, whose gated delta nets remember in states: shared and repeated, sampled and scored, recomputed and kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_sampling import as_batch
from test_scoring import GROUPS, assert_equal_gradients, scored
from tiny_hybrid import hybrid
from tiny_language import batch, prompts, tokenizer_folder

from kairos.core.types import RolloutBatch, Sampling
from kairos.policy.gathered import Gathered
from kairos.policy.language import LanguagePolicy
from kairos.policy.scoring.repeated import Repeated
from kairos.policy.scoring.shared_prefix import SharedPrefix


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tokenizer_folder(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def language(folder: str) -> LanguagePolicy:
    return hybrid(folder)


def rows(language: LanguagePolicy, groups: list[int], lengths: list[int]) -> RolloutBatch:
    return batch(prompts(), groups, lengths, len(language.processor.loaded), temperature=0.7)


@pytest.mark.parametrize("freeze", [(), ("vision",)], ids=["trained tower", "frozen tower"])
@pytest.mark.parametrize("lengths", [[5, 1, 2, 3, 68, 4], [1] * 6], ids=["ragged", "one token each"])
def test_shared_equals_repeated_in_values_and_gradients(folder: str, freeze: tuple[str, ...], lengths: list[int]):
    language = hybrid(folder, freeze=freeze)
    assert not any(len(language.processor(prompt)) % 64 == 0 for prompt in prompts())
    rollouts = rows(language, GROUPS, lengths)
    ours, our_gradients = scored(language, SharedPrefix(), rollouts)
    theirs, their_gradients = scored(language, Repeated(), rollouts)
    torch.testing.assert_close(ours.logprobs_BA, theirs.logprobs_BA, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.entropy_BA, theirs.entropy_BA, atol=1e-5, rtol=0)
    assert_equal_gradients(our_gradients, their_gradients)
    assert any("visual" in name for name in our_gradients) == (not freeze)
    assert all(gradient.norm() > 0 for gradient in our_gradients.values())


def test_rows_repeated_through_our_kernels_are_the_same(language: LanguagePolicy) -> None:
    rollouts = rows(language, GROUPS, [5, 1, 2, 3, 68, 4])
    ours, our_gradients = scored(language, SharedPrefix(), rollouts)
    theirs, their_gradients = scored(language, Repeated(attn=Gathered()), rollouts)
    torch.testing.assert_close(ours.logprobs_BA, theirs.logprobs_BA, atol=1e-5, rtol=0)
    assert_equal_gradients(our_gradients, their_gradients)


def test_padding_on_the_right_changes_no_row_of_the_twin(language: LanguagePolicy) -> None:
    rollouts = rows(language, GROUPS, [5, 1, 2, 3, 68, 4])
    language.scorer = Repeated()
    with torch.no_grad():
        together = language(rollouts).logprobs_BA
        for row in (0, 1, 5):
            alone = language(rollouts.take([row])).logprobs_BA[0]
            torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=0)
    language.scorer = SharedPrefix()


def test_the_first_frames_reach_a_completion_through_the_states_alone(folder: str) -> None:
    """With attention silenced nothing but recurrent states carries the clip to the rows."""
    language = hybrid(folder)
    with torch.no_grad():
        for name, parameter in language.named_parameters():
            if "self_attn.o_proj" in name:
                parameter.zero_()
    rollouts = rows(language, [0, 1, 2, 2], [6, 6, 6, 2])
    with torch.no_grad():
        before = language(rollouts).logprobs_BA
        frames = [p.clip.frames_TCHW.clone() for p in rollouts.prompts]
        for frame in frames:
            frame[0] = 255 - frame[0]
        other = [
            replace(p, clip=replace(p.clip, frames_TCHW=frame), layout=None)
            for p, frame in zip(rollouts.prompts, frames, strict=True)
        ]
        after = language(replace(rollouts, prompts=tuple(other))).logprobs_BA
    assert (after - before).abs()[rollouts.mask_BA > 0].median() > 1e-4


def test_recomputed_activations_change_nothing(folder: str) -> None:
    plain, checkpointed = hybrid(folder), hybrid(folder)
    checkpointed.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    rollouts = rows(plain, GROUPS, [5, 1, 2, 3, 9, 4])
    stats, gradients = scored(plain, SharedPrefix(), rollouts)
    other, other_gradients = scored(checkpointed, SharedPrefix(), rollouts)
    torch.testing.assert_close(other.logprobs_BA, stats.logprobs_BA)
    assert_equal_gradients(other_gradients, gradients)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_recorded_logprobs_are_scored_logprobs(language: LanguagePolicy, temperature: float) -> None:
    groups = language.sample(prompts(), 3, Sampling(temperature=temperature, max_actions=40), seed=5)
    rollouts = as_batch(groups, temperature)
    scored_BA = language(rollouts).logprobs_BA
    assert rollouts.mask_BA.sum(1).max() > 20
    torch.testing.assert_close(scored_BA, rollouts.behavior_logprobs_BA, atol=1e-4, rtol=0)


def test_rows_do_not_depend_on_what_they_are_batched_with(language: LanguagePolicy) -> None:
    whole = language.sample(prompts(), 3, Sampling(max_actions=8), seed=1)
    for number, question in enumerate(prompts()):
        alone = language.sample([question], 3, Sampling(max_actions=8), seed=1)[0]
        for ours, theirs in zip(whole[number].rollouts, alone.rollouts, strict=True):
            assert torch.equal(ours.actions_A, theirs.actions_A)
