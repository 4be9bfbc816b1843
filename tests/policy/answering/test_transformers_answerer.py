"""Any video model of transformers answers sets of frames, each frame at its own time."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.tiny_language import FAMILIES, clip, tokenizer_folder
from transformers import (
    AutoTokenizer,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    Qwen2_5_VLProcessor,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)
from transformers.models.llava_onevision import LlavaOnevisionImageProcessor

from kairos.core.prompt_text import PromptError
from kairos.core.types import Prompt, Target
from kairos.data.templates.answer import AnswerOnly
from kairos.policy.answering.any_model import TransformersAnswerer
from kairos.policy.answering.language import LanguageAnswerer
from kairos.policy.families.llava_onevision import QWEN_1_5, LlavaOnevision
from kairos.policy.models.architecture import Architecture

SIDE = 56
TEXT = {
    "vocab_size": 512, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]},
}  # fmt: skip


def qwen2_vl(folder: str, target: Path) -> str:
    """A tiny random Qwen2-VL as its authors would publish it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    kind = Architecture(
        "qwen2_vl", TEXT, {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2}
    )
    torch.manual_seed(0)
    Qwen2VLForConditionalGeneration(kind(tokenizer)).save_pretrained(target)
    size = {"shortest_edge": 28 * 28, "longest_edge": SIDE * SIDE}
    Qwen2VLProcessor(
        Qwen2VLImageProcessor(size=size), tokenizer, Qwen2VLVideoProcessor(size=size), tokenizer.chat_template
    ).save_pretrained(target)
    return str(target)


def asked() -> Prompt:
    return Prompt(
        "a", "choice", "tiny", clip("a", 8, 64, 64, 1), "Which event happens first?", Target(choice="A"),
        ("red square", "blue circle"), AnswerOnly(),
    )  # fmt: skip


SETS = [torch.tensor([0, 3, 4]), torch.tensor([1, 6])]


def test_a_qwen2_vl_answers_each_set_by_itself(folder: str, tmp_path: Path):
    answerer = TransformersAnswerer(qwen2_vl(folder, tmp_path / "qwen2_vl"), max_tokens=5)
    answerer.build()
    assert answerer.to(torch.device("cpu")) is answerer
    prompt = replace(asked(), clip=clip("a", 8, SIDE, SIDE, 1))
    ((first, second),) = answerer.answer([prompt], [SETS])
    assert answerer.answer([prompt, prompt], [SETS[1:], SETS[:1]]) == [[second], [first]]
    assert first.option_probs_O is None and first.truncated
    dark = replace(prompt, clip=replace(prompt.clip, frames_TCHW=torch.zeros(8, 3, SIDE, SIDE, dtype=torch.uint8)))
    seen = answerer.inputs(prompt, prompt.clip.take(SETS[0]))
    assert seen["video_grid_thw"].tolist() == [[3, 4, 4]], "a frame is a temporal patch of its own"
    assert not torch.equal(
        seen["pixel_values_videos"], answerer.inputs(dark, dark.clip.take(SETS[0]))["pixel_values_videos"]
    )


def test_a_question_that_spells_out_the_models_own_tokens_is_refused(folder: str, tmp_path: Path):
    answerer = TransformersAnswerer(qwen2_vl(folder, tmp_path / "qwen2_vl"))
    answerer.build()
    with pytest.raises(PromptError, match=r"prompt a: its question.*'<\|video_pad\|>'"):
        answerer.answer([replace(asked(), question="Which <|video_pad|> is first?")], [SETS])


def test_frames_keep_their_times_so_that_a_qwen3_vl_answers_as_our_own_family_does(folder: str, tmp_path: Path):
    tiny = FAMILIES["qwen3_vl"]
    policy = tiny.with_single_frames().policy(folder)
    policy.save_pretrained(tmp_path / "qwen3_vl")
    size = {"shortest_edge": 32 * 32, "longest_edge": 64 * 64 * 100}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    Qwen3VLProcessor(
        Qwen2VLImageProcessor(size=size, patch_size=16), tokenizer, Qwen3VLVideoProcessor(size=size),
        tokenizer.chat_template,
    ).save_pretrained(tmp_path / "qwen3_vl")  # fmt: skip
    theirs = TransformersAnswerer(str(tmp_path / "qwen3_vl"), max_tokens=8)
    theirs.build()
    ours = LanguageAnswerer(policy, "generate", max_tokens=8)
    ours.build()
    assert theirs.answer([asked()], [SETS]) == ours.answer([asked()], [SETS])
    late = replace(asked().clip, seconds_T=asked().clip.seconds_T + 0.7).take(SETS[0])
    expected = policy.processor(replace(asked(), clip=late))
    assert theirs.inputs(asked(), late)["input_ids"][0].tolist() == expected.ids_L.tolist()


def test_uneven_frames_are_refused_where_transformers_has_one_number_of_seconds(folder: str, tmp_path: Path):
    tiny, tokenizer = FAMILIES["qwen2_5_vl"], AutoTokenizer.from_pretrained(folder)
    tiny.policy(folder).save_pretrained(tmp_path)
    size = {"shortest_edge": 28 * 28, "longest_edge": SIDE * SIDE}
    Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(size=size), tokenizer, Qwen2VLVideoProcessor(size=size), tokenizer.chat_template
    ).save_pretrained(tmp_path)
    answerer = TransformersAnswerer(str(tmp_path), max_tokens=2)
    answerer.build()
    assert len(answerer.answer([asked()], [[torch.tensor([0, 2, 4, 6])]])[0]) == 1
    with pytest.raises(ValueError, match="not evenly spread: choose a family of ours, such as answerer=qwen2_5_vl_7b"):
        answerer.answer([asked()], [SETS])


def test_what_cannot_answer_is_refused_with_the_remedy(folder: str, tmp_path: Path):
    with pytest.raises(ValueError, match=r"answerer\.model=nowhere is not a video model that transformers loads"):
        TransformersAnswerer("nowhere").build()
    with pytest.raises(RuntimeError, match=r"call build\(\) first"):
        TransformersAnswerer("nowhere").to(torch.device("cpu"))
    with pytest.raises(ValueError, match="max_tokens must be >= 1"):
        TransformersAnswerer("nowhere", max_tokens=0)
    whole = qwen2_vl(folder, tmp_path / "whole")
    bare = Path(shutil.copytree(whole, tmp_path / "bare"))
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(ValueError, match=r"bare has no chat template.* add chat_template.jinja"):
        TransformersAnswerer(str(bare)).build()
    answerer = TransformersAnswerer(whole)
    answerer.build()
    with pytest.raises(ValueError, match="prompt a has no template"):
        answerer.answer([replace(asked(), template=None)], [SETS])
    with pytest.raises(ValueError, match="rising indices of its clip's 8 frames"):
        answerer.answer([asked()], [[torch.tensor([8])]])


def test_a_llava_onevision_answers_as_our_own_family_does(tmp_path: Path):
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(tmp_path / "tokenizer"))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", "<video>"]})
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    image, video = tokenizer.convert_tokens_to_ids(["<image>", "<video>"])
    family = LlavaOnevision(newline="video", side=42, video_token=video)
    tiny = replace(FAMILIES["llava_onevision"], family=family)
    assert isinstance(tiny.config, Architecture)
    config = replace(tiny.config, tokens={"image_token_id": image, "video_token_id": video})
    policy = replace(tiny, config=config).policy(str(tmp_path / "tokenizer"))
    policy.save_pretrained(tmp_path / "model")
    size, half = {"height": 42, "width": 42}, [0.5, 0.5, 0.5]
    LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size=size), tokenizer,
        LlavaOnevisionVideoProcessor(size=size, image_mean=half, image_std=half),
        num_image_tokens=9, vision_feature_select_strategy="full", chat_template=QWEN_1_5,
    ).save_pretrained(tmp_path / "model")  # fmt: skip
    theirs = TransformersAnswerer(str(tmp_path / "model"), max_tokens=6)
    theirs.build()
    ours = LanguageAnswerer(policy, "generate", max_tokens=6)
    ours.build()
    prompt = replace(asked(), clip=clip("a", 8, 42, 42, 1))
    assert theirs.answer([prompt], [SETS]) == ours.answer([prompt], [SETS])
