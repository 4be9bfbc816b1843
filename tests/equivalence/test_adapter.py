"""LoRA over the language policy: both scorers agree, the reference is the base, and only the adapter is saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.tiny_language import TINY
from peft import PeftModel
from test_scoring import GROUPS, RAGGED, assert_equal_gradients, rows, scored
from transformers import Qwen3VLForConditionalGeneration

from kairos.policy.language import LanguagePolicy
from kairos.policy.models.lora import LoRA
from kairos.policy.processor import LanguageProcessor
from kairos.policy.scoring.repeated import Repeated
from kairos.policy.scoring.shared_prefix import SharedPrefix


def adapted(folder: str, adapter: LoRA | None = LoRA(rank=4, alpha=8), learnt: bool = True) -> LanguagePolicy:  # noqa: B008
    """As after some training: B is no longer zero."""
    language = LanguagePolicy(LanguageProcessor(folder), config=TINY, adapter=adapter, seed=3)
    language.build()
    for name, parameter in language.named_parameters():
        if learnt and "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return language


@pytest.mark.parametrize("vision", [False, True], ids=["text", "text and vision"])
def test_shared_equals_repeated_and_only_the_adapter_learns(folder: str, vision: bool) -> None:
    language = adapted(folder, LoRA(rank=4, alpha=8, vision=vision))
    rollouts = rows(language, GROUPS, RAGGED, temperature=0.7)
    ours, our_gradients = scored(language, SharedPrefix(), rollouts)
    theirs, their_gradients = scored(language, Repeated(), rollouts)
    torch.testing.assert_close(ours.logprobs_BA, theirs.logprobs_BA, atol=1e-5, rtol=0)
    assert_equal_gradients(our_gradients, their_gradients)
    assert all(".lora_" in name for name in our_gradients)
    assert sum(".lora_A." in name for name in our_gradients) == 3 * 7 + (2 * 4 + 3 * 2) * vision
    assert all(gradient.norm() > 0 for gradient in our_gradients.values())


def test_the_reference_is_the_base_bit_for_bit_and_no_copy(folder: str) -> None:
    base, language = adapted(folder, None), adapted(folder)
    rollouts = rows(base, GROUPS, RAGGED)
    expected = base(rollouts, entropy=True)
    reference = language.reference()
    for mode in (True, False):
        language.train(mode)
        stats = reference(rollouts, entropy=True)
        assert torch.equal(stats.logprobs_BA, expected.logprobs_BA)
        assert torch.equal(stats.entropy_BA, expected.entropy_BA)
        assert not stats.logprobs_BA.requires_grad
    learnt, gradients = scored(language, SharedPrefix(), rollouts)
    assert not torch.allclose(learnt.logprobs_BA, expected.logprobs_BA), "the adapter is on again"
    assert gradients, "and learns"
    with pytest.raises(ZeroDivisionError), language.adapter.off(language.model):
        raise ZeroDivisionError
    assert torch.equal(language(rollouts).logprobs_BA, learnt.logprobs_BA), "after an error too"
    assert torch.equal(adapted(folder, learnt=False)(rollouts).logprobs_BA, expected.logprobs_BA), "B starts at zero"


def test_its_state_is_what_it_trains_and_loads_strictly(folder: str) -> None:
    language, again = adapted(folder), adapted(folder, learnt=False)
    state = language.state_dict()
    assert len(state) == 2 * 3 * 7 + 1
    assert all(".lora_" in name or name == "adapter_facts" for name in state)
    torch.nn.ModuleDict({"policy": again}).load_state_dict({f"policy.{name}": value for name, value in state.items()})
    rollouts = rows(language, GROUPS, RAGGED)
    assert torch.equal(again(rollouts).logprobs_BA, language(rollouts).logprobs_BA)
    first = next(iter(state))
    with pytest.raises(RuntimeError, match="Missing key"):
        again.load_state_dict({name: value for name, value in state.items() if name != first})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        again.load_state_dict({**state, "model.more": torch.zeros(1)})
    with pytest.raises(ValueError, match="another alpha / rank, or over other weights"):
        adapted(folder, LoRA(rank=4, alpha=4)).load_state_dict(state)
    other = LanguagePolicy(LanguageProcessor(folder), config=TINY, adapter=LoRA(rank=4, alpha=8), seed=4)
    other.build()
    with pytest.raises(ValueError, match="over other weights"):
        other.load_state_dict(state)


def test_an_export_is_a_whole_model_with_the_adapter_beside_it(folder: str, tmp_path: Path) -> None:
    base, language = adapted(folder, None), adapted(folder)
    language.adapter_facts = None
    base.save_pretrained(tmp_path / "base")
    language.save_pretrained(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model" / "adapter").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors",
    ]  # fmt: skip
    rollouts = rows(language, GROUPS, RAGGED)
    expected = language(rollouts).logprobs_BA
    merged = LanguagePolicy(LanguageProcessor(folder), weights=str(tmp_path / "model"))
    merged.build()
    torch.testing.assert_close(merged(rollouts).logprobs_BA, expected, atol=1e-5, rtol=0)
    ids = torch.randint(7, 300, (1, 20))
    whole = Qwen3VLForConditionalGeneration.from_pretrained(str(tmp_path / "model"), dtype=torch.float32)
    beside = PeftModel.from_pretrained(
        Qwen3VLForConditionalGeneration.from_pretrained(str(tmp_path / "base"), dtype=torch.float32),
        str(tmp_path / "model" / "adapter"),
    )
    with torch.no_grad():
        plain = base.model(input_ids=ids).logits
        torch.testing.assert_close(beside(input_ids=ids).logits, whole(input_ids=ids).logits, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(whole(input_ids=ids).logits, plain, atol=1e-3)


def test_an_export_may_hold_the_adapter_alone(folder: str, tmp_path: Path) -> None:
    adapted(folder, LoRA(rank=4, alpha=8, merge=False)).save_pretrained(tmp_path)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists() and not (tmp_path / "config.json").exists()


def test_targets_choose_layers_by_their_last_name(folder: str) -> None:
    language = adapted(folder, LoRA(rank=4, alpha=8, targets=["q_proj", "v_proj"]))
    trained = {name.split(".")[-4] for name, parameter in language.named_parameters() if parameter.requires_grad}
    assert trained == {"q_proj", "v_proj"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, r"adapter\.rank must be >= 1"),
        ({"dropout": 1.0}, r"adapter\.dropout"),
        ({"text": False}, "nothing would be trained"),
    ],
)
def test_wrong_options_of_an_adapter_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LoRA(**options)


def test_freezing_what_the_adapter_trains_is_refused(folder: str) -> None:
    with pytest.raises(ValueError, match="which the adapter trains"):
        LanguagePolicy(LanguageProcessor(folder), config=TINY, adapter=LoRA(), freeze=("text",))
    with pytest.raises(ValueError, match="names no linear layer"):
        adapted(folder, LoRA(targets=["nowhere"]))
