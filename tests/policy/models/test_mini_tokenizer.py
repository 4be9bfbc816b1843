"""The small tokenizer: any text, times in pieces of two digits, known words whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.tiny_language import TEXTS, TINY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from kairos.policy.models.mini_config import mini_config
from kairos.policy.models.mini_tokenizer import END, SPECIAL, WHOLE, build_tokenizer


@pytest.fixture(scope="module")
def tokenizer(folder: str) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(folder)


@given(text=st.text())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back_whole(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False) == text


def test_an_answer_is_a_dozen_tokens_with_its_numbers_in_pieces(tokenizer: PreTrainedTokenizerBase) -> None:
    pieces = tokenizer.tokenize("<answer>123.5 to 60.0</answer>" + END)
    assert [piece.replace("Ġ", " ") for piece in pieces] == [
        "<answer>", "12", "3", ".", "5", " to", " ", "60", ".", "0", "</answer>", END,
    ]  # fmt: skip


def test_words_of_the_texts_and_added_tokens_are_single_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    words = {f" {word}" for text in TEXTS for word in text.replace("<", " ").split(" ")[1:] if word.isalpha()}
    for token in (*words, *SPECIAL, *WHOLE, *(f"{number:02d}" for number in range(100))):
        assert len(tokenizer.encode(token, add_special_tokens=False)) == 1, token


def test_a_timestamp_is_five_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    assert len(tokenizer.encode("<12.5 seconds>", add_special_tokens=False)) == 5


def test_the_chat_form_adds_no_system_turn(tokenizer: PreTrainedTokenizerBase) -> None:
    messages = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "When?"}]}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>When?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.eos_token == END


def test_it_stays_itself_beside_a_model_configuration(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    TINY(tokenizer).save_pretrained(str(tmp_path))
    tokenizer.save_pretrained(str(tmp_path))
    text = "When is it at 123.4 to 9 <think>é</think>"
    assert AutoTokenizer.from_pretrained(str(tmp_path)).encode(text) == tokenizer.encode(text)


def test_too_small_a_vocabulary_and_no_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="vocabulary must exceed"):
        build_tokenizer(TEXTS, tmp_path, vocabulary=300)
    with pytest.raises(ValueError, match="no texts"):
        build_tokenizer([], tmp_path)


def test_the_mini_model_fits_sixteen_megabytes_in_bf16(tokenizer: PreTrainedTokenizerBase) -> None:
    import torch
    from transformers import Qwen3VLForConditionalGeneration

    config = mini_config(tokenizer)
    config.text_config.vocab_size = 1024
    with torch.device("meta"):
        model = Qwen3VLForConditionalGeneration(config)
    model.tie_weights()
    assert 5.9e6 < sum(parameter.numel() for parameter in model.parameters()) < 6.3e6
