"""A frozen answerer on a GPU: bf16, packed kernels, and the same answers as on the CPU within rounding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.tiny_language import FAMILIES, clip, tokenizer_folder
from torch import Tensor

from kairos.core.types import Prompt, Target
from kairos.data.templates.answer import AnswerOnly
from kairos.policy.answering.language import LanguageAnswerer

pytestmark = pytest.mark.gpu

SETS = [torch.tensor([0, 3, 4]), torch.tensor([1, 6]), torch.tensor([0, 1, 2, 3, 4, 5, 6, 7])]


def asked(side: int) -> Prompt:
    video = replace(clip("a", 8, side, side, 1), content="a")
    options = ("red square", "blue circle", "green triangle")
    return Prompt("a", "choice", "tiny", video, "Which event happens first?", Target(choice="A"), options, AnswerOnly())


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_letters_agree_with_the_cpu(family: str, tmp_path: Path) -> None:
    tiny = FAMILIES[family]
    policy = tiny.with_single_frames().policy(tokenizer_folder(tmp_path))
    answerer = LanguageAnswerer(policy, frames_at_once=4)
    answerer.build()
    prompt = asked(2 * tiny.token)
    expected = [reply.option_probs_O for reply in answerer.answer([prompt], [SETS])[0]]
    on_gpu = LanguageAnswerer(policy, frames_at_once=4)
    on_gpu.to(torch.device("cuda"))
    assert {p.dtype for p in policy.parameters()} == {torch.bfloat16}
    found = [reply.option_probs_O for reply in on_gpu.answer([prompt], [SETS])[0]]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=0.05, rtol=0)
    written = LanguageAnswerer(policy, "generate", max_tokens=4).answer([prompt], [SETS])[0]
    assert len(written) == 3 and all(reply.option_probs_O is None for reply in written)


def test_features_of_a_frame_are_the_same_bits_in_any_company(tmp_path: Path) -> None:
    tiny = FAMILIES["qwen2_5_vl"]
    policy = tiny.with_single_frames().policy(tokenizer_folder(tmp_path))
    prompt, seen = asked(2 * tiny.token), []
    for company in ([[0, 5, 6, 7]], [[1], [5, 7], [6]], [[7, 6, 5]]):
        answerer = LanguageAnswerer(policy, frames_at_once=6)
        answerer.build()
        answerer.to(torch.device("cuda"))
        for frames in company:
            answerer.answer([prompt], [[torch.tensor(sorted(frames))]])
        seen.append(bits(answerer, prompt))
    assert torch.equal(seen[0], seen[1]) and torch.equal(seen[0], seen[2])


def bits(answerer: LanguageAnswerer, prompt: Prompt) -> Tensor:
    (seen,) = answerer.features(answerer.policy.towers, answerer.processor, [prompt], [[5, 6, 7]])
    return torch.cat(seen.of(torch.tensor([5, 6, 7])), dim=1).cpu()
