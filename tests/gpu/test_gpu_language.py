"""The language policy on a GPU: bf16 compute over fp32 weights, the same answers as on the CPU within rounding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.tiny_language import FAMILIES, Tiny, batch, tokenizer_folder

from kairos.core.types import Sampling
from kairos.policy.scoring.repeated import Repeated

pytestmark = pytest.mark.gpu


@pytest.fixture(params=["qwen2_5_vl", "qwen3_vl", "llava_onevision"])
def tiny(request: pytest.FixtureRequest) -> Tiny:
    return FAMILIES[request.param]


def test_scores_agree_with_the_cpu_and_gradients_are_fp32(tiny: Tiny, tmp_path: Path) -> None:
    language = tiny.policy(tokenizer_folder(tmp_path), freeze=("vision",))
    rollouts = batch(tiny.prompts(), [2, 0, 1, 0, 0, 2], [5, 1, 9, 3, 7, 4], len(language.processor.loaded))
    expected = language(rollouts).logprobs_BA.detach()
    language.cuda()
    assert {p.dtype for p in language.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in language.parameters() if not p.requires_grad} == {torch.bfloat16}
    stats = language(rollouts, entropy=True)
    stats.logprobs_BA.sum().backward()
    assert stats.logprobs_BA.dtype == torch.float32 and stats.logprobs_BA.is_cuda
    torch.testing.assert_close(stats.logprobs_BA.detach().cpu(), expected, atol=0.1, rtol=0)
    language.scorer = Repeated()
    torch.testing.assert_close(language(rollouts).logprobs_BA, stats.logprobs_BA, atol=0.1, rtol=0)


def test_recorded_logprobs_are_close_to_scored_ones(tiny: Tiny, tmp_path: Path) -> None:
    language = tiny.policy(tokenizer_folder(tmp_path)).cuda()
    group = language.sample(tiny.prompts()[:1], 1, Sampling(max_actions=12), seed=0)[0]
    row = group.rollouts[0]
    rollouts = batch([group.prompt], [0], [len(row.actions_A)], 300)
    rollouts.actions_BA.copy_(row.actions_A[None])
    torch.testing.assert_close(language(rollouts).logprobs_BA[0].cpu(), row.behavior_logprobs_A, atol=0.1, rtol=0)
