"""The language policy as a module: cheap to construct, saved and loaded completely, with a frozen reference."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from helpers.tiny_language import TINY, batch, policy, prompts
from transformers import AutoTokenizer, Qwen3VLForConditionalGeneration

from kairos.core.protocols import Policy, PreparesLearning
from kairos.core.types import RolloutBatch, Sampling
from kairos.policy.language import LanguagePolicy
from kairos.policy.network.kernels.weight_gradients import is_accumulating
from kairos.policy.processor import LanguageProcessor
from kairos.policy.scoring.repeated import Repeated


def rollouts(language: LanguagePolicy) -> RolloutBatch:
    return batch(prompts(), [0, 1, 2], [3, 5, 2], len(language.processor.loaded))


def test_it_is_a_policy_and_constructing_it_loads_nothing() -> None:
    language = LanguagePolicy(LanguageProcessor("nowhere/at-all"), config=TINY)
    assert isinstance(language, Policy)
    assert list(language.parameters()) == []
    with pytest.raises(RuntimeError, match="build"):
        language.sample(prompts(), 1, Sampling(), 0)


def test_it_says_what_its_microbatches_count(folder: str) -> None:
    assert policy(folder).microbatch_unit == "group"
    assert policy(folder, scorer=Repeated()).microbatch_unit == "row"


def test_a_folder_it_saved_loads_here_and_in_transformers(folder: str, tmp_path: Path) -> None:
    language = policy(folder)
    language.save_pretrained(tmp_path)
    again = LanguagePolicy(LanguageProcessor(str(tmp_path)), weights=str(tmp_path))
    again.build()
    expected = language(rollouts(language)).logprobs_BA
    assert torch.equal(again(rollouts(again)).logprobs_BA, expected)
    other = Qwen3VLForConditionalGeneration.from_pretrained(str(tmp_path), dtype=torch.float32)
    assert torch.equal(other.lm_head.weight, language.model.lm_head.weight)
    assert AutoTokenizer.from_pretrained(str(tmp_path)).eos_token_id == language.processor.end


def test_it_saves_in_bf16_where_asked_and_trains_in_fp32(folder: str, tmp_path: Path) -> None:
    language = policy(folder)
    language.save_pretrained(tmp_path, dtype=torch.bfloat16)
    stored = (tmp_path / "model.safetensors").stat().st_size
    count = sum(parameter.numel() for parameter in language.parameters())
    assert stored < 2 * count + 50_000
    again = LanguagePolicy(LanguageProcessor(str(tmp_path)), weights=str(tmp_path))
    again.build()
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in language.parameters()} == {torch.float32}


def test_building_draws_the_same_weights_and_leaves_the_generator_alone(folder: str) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = LanguagePolicy(LanguageProcessor(folder), config=TINY, seed=1)
    first.build()
    assert torch.equal(torch.rand(3), expected)
    weight = first.model.lm_head.weight
    first.build()
    assert first.model.lm_head.weight is weight
    second, third = (LanguagePolicy(LanguageProcessor(folder), config=TINY, seed=seed) for seed in (1, 2))
    second.build()
    third.build()
    assert torch.equal(weight, second.model.lm_head.weight)
    assert not torch.equal(weight, third.model.lm_head.weight)


def test_the_reference_stays_where_the_policy_was(folder: str) -> None:
    language = policy(folder)
    before = language(rollouts(language)).logprobs_BA.detach()
    reference = language.reference()
    with torch.no_grad():
        for parameter in language.parameters():
            parameter.mul_(0.9)
    reference.train()
    stats = reference(rollouts(language))
    assert torch.equal(stats.logprobs_BA, before) and not stats.logprobs_BA.requires_grad
    assert not reference.training and not any(p.requires_grad for p in reference.parameters())
    assert not torch.allclose(language(rollouts(language)).logprobs_BA, before)


@pytest.mark.parametrize("part", ["vision", "text"])
def test_a_frozen_part_gets_no_gradient(folder: str, part: str) -> None:
    language = policy(folder, freeze=(part,))
    language(rollouts(language)).logprobs_BA.sum().backward()
    for name, parameter in language.named_parameters():
        frozen = ("visual" in name) == (part == "vision")
        assert (parameter.grad is None) == frozen, name


def test_encoding_ends_with_the_end_token_and_reads_back(folder: str) -> None:
    language = policy(folder)
    actions = language.encode("<answer>3.5 to 6.0</answer>")
    assert int(actions[-1]) == language.processor.end
    assert language.processor.decode(actions.tolist()) == "<answer>3.5 to 6.0</answer>"


def test_wrong_options_are_refused_by_name() -> None:
    processor = LanguageProcessor("nowhere")
    with pytest.raises(ValueError, match=r"policy\.weights, or policy\.config"):
        LanguagePolicy(processor)
    with pytest.raises(ValueError, match="'eyes'"):
        LanguagePolicy(processor, config=TINY, freeze=("eyes",))


def test_prompts_laid_out_by_a_worker_are_scored_the_same(folder: str) -> None:
    from dataclasses import replace

    language = policy(folder)
    plain = rollouts(language)
    worker = pickle.loads(pickle.dumps(language.processor))
    laid_out = replace(plain, prompts=tuple(replace(p, layout=worker(p)) for p in plain.prompts))
    assert torch.equal(language(plain).logprobs_BA, language(laid_out).logprobs_BA)


def test_a_mode_that_is_there_already_is_not_set_again(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large model's modules are thousands."""
    language, set_to = policy(folder), []
    whole = language.model.train
    monkeypatch.setattr(language.model, "train", lambda mode=True: set_to.append(mode) or whole(mode))
    language.train()
    language.eval()
    language.eval()
    language.sample(prompts(), 1, Sampling(max_actions=1), 0)
    language.train()
    assert set_to == [False, True] and language.training and language.model.training


def test_it_learns_with_gradients_in_place_only_where_it_trains_alone(folder: str) -> None:
    language = policy(folder)
    for alone in (True, False):
        with language.learning(alone):
            assert is_accumulating() is alone
    assert not is_accumulating() and isinstance(language, PreparesLearning)
