"""What only Qwen3.5 can get wrong: its gated delta nets remember in states. test_scoring has what families share."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.tiny_hybrid import hybrid
from helpers.tiny_language import batch, prompts
from test_scoring import GROUPS, assert_equal_gradients, scored

from kairos.core.types import RolloutBatch
from kairos.policy.language import LanguagePolicy
from kairos.policy.network.attention.gathered_sdpa import Gathered
from kairos.policy.network.delta_net.rule import CHUNK
from kairos.policy.scoring.repeated import Repeated
from kairos.policy.scoring.shared_prefix import SharedPrefix


@pytest.fixture(scope="module")
def language(folder: str) -> LanguagePolicy:
    return hybrid(folder)


def rows(language: LanguagePolicy, groups: list[int], lengths: list[int]) -> RolloutBatch:
    return batch(prompts(), groups, lengths, len(language.processor.loaded), temperature=0.7)


def test_rows_shorter_than_the_convolution_and_longer_than_a_chunk(language: LanguagePolicy) -> None:
    assert not any(len(language.processor(prompt)) % CHUNK == 0 for prompt in prompts())
    rollouts = rows(language, GROUPS, [5, 1, 2, 3, 68, 4])
    ours, our_gradients = scored(language, SharedPrefix(), rollouts)
    theirs, their_gradients = scored(language, Repeated(), rollouts)
    torch.testing.assert_close(ours.logprobs_BA, theirs.logprobs_BA, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.entropy_BA, theirs.entropy_BA, atol=1e-5, rtol=0)
    assert_equal_gradients(our_gradients, their_gradients)


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
