"""On a GPU: kept features, recomputation and adapters give what they give on the CPU, within bf16's rounding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.tiny_language import TINY, batch, policy, prompts, tokenizer_folder

from kairos.core.types import RolloutBatch
from kairos.policy.language import LanguagePolicy
from kairos.policy.memory import recompute
from kairos.policy.models.lora import LoRA
from kairos.policy.processor import LanguageProcessor
from kairos.video.store.feature_stores import FeatureFiles, MemoryFeatures

pytestmark = pytest.mark.gpu


def rows(language: LanguagePolicy) -> RolloutBatch:
    return batch(prompts(), [2, 0, 1, 0, 0, 2], [5, 1, 9, 3, 7, 4], len(language.processor.loaded))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_frozen_tower_is_bf16_and_so_is_what_is_kept(tmp_path: Path, device: str) -> None:
    language = policy(tokenizer_folder(tmp_path), freeze=("vision",))
    expected = language(rows(language)).logprobs_BA.detach()
    memory = MemoryFeatures(device=device)
    language.feature_cache.store = memory
    language.cuda()
    first, second = language(rows(language)).logprobs_BA, language(rows(language)).logprobs_BA
    assert torch.equal(first, second)
    torch.testing.assert_close(first.detach().cpu(), expected, atol=0.1, rtol=0)
    kept = [tensor for tensor, _ in memory._kept.values()]
    assert len(kept) == 3 and {tensor.dtype for tensor in kept} == {torch.bfloat16}
    assert all(tensor.is_cuda if device == "cuda" else tensor.is_pinned() for tensor in kept)
    files = FeatureFiles(tmp_path / "features")
    language.feature_cache.store = files
    assert torch.equal(language(rows(language)).logprobs_BA, first)
    assert torch.equal(language(rows(language)).logprobs_BA, first), "read back"


def test_every_level_gives_the_same_values_and_gradients(tmp_path: Path) -> None:
    language = policy(tokenizer_folder(tmp_path)).cuda()
    found = {}
    for level in recompute.LEVELS:
        recompute.use(language.model, level)
        language.zero_grad()
        stats = language(rows(language))
        stats.logprobs_BA.sum().backward()
        found[level] = stats.logprobs_BA.detach(), language.model.model.language_model.layers[0].mlp.up_proj.weight.grad
    for level in ("selective", "full"):
        torch.testing.assert_close(found[level][0], found["none"][0])
        difference = (found[level][1] - found["none"][1]).norm()
        assert difference <= 1e-2 * found["none"][1].norm()


def test_auto_knows_the_memory_of_the_gpu(tmp_path: Path) -> None:
    language = policy(tokenizer_folder(tmp_path)).cuda()
    language.recompute = "auto"
    language(rows(language)).logprobs_BA.sum().backward()
    assert "chose none" in language.chooser.words
    assert 0 < recompute.free(language.device) <= torch.cuda.get_device_properties(language.device).total_memory


def test_an_adapter_is_fp32_over_bf16_and_its_reference_is_the_base(tmp_path: Path) -> None:
    folder = tokenizer_folder(tmp_path)
    language = LanguagePolicy(LanguageProcessor(folder), config=TINY, adapter=LoRA(rank=4, alpha=8), seed=3)
    language.build()
    plain = LanguagePolicy(LanguageProcessor(folder), config=TINY, freeze=("vision", "text"), seed=3)
    plain.build()
    language.cuda()
    plain.cuda()
    assert {p.dtype for p in language.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in language.parameters() if not p.requires_grad} == {torch.bfloat16}
    for name, parameter in language.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    rollouts = rows(language)
    assert torch.equal(language.reference()(rollouts).logprobs_BA, plain(rollouts).logprobs_BA)
    language(rollouts).logprobs_BA.sum().backward()
    assert {p.grad.dtype for p in language.parameters() if p.grad is not None} == {torch.float32}
