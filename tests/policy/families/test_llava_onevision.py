"""LLaVA-OneVision and LLaVA-Video against transformers' classes: ids, features, logits, and both checkpoint layouts."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_language import FAMILIES, clip, prompt, prompts, tokenizer_folder
from hydra.utils import instantiate
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    AutoTokenizer,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    SiglipVisionModel,
)
from transformers.models.llava_onevision import LlavaOnevisionImageProcessor

from kairos.compose import compose
from kairos.core.types import Prompt, Sampling, VideoClip
from kairos.policy.families.llava_onevision import QWEN_1_5, LlavaOnevision
from kairos.policy.language import LanguagePolicy
from kairos.policy.memory.estimate import estimate
from kairos.policy.memory.workload import Workload
from kairos.policy.network.vision.siglip_tower import squares
from kairos.policy.processor import LanguageProcessor

TINY = FAMILIES["llava_onevision"]
SIDE = TINY.family.side


def with_family(language: LanguagePolicy, **changes: object) -> LanguagePolicy:
    language.processor = replace(language.processor, family=replace(language.family, **changes))
    language._towers = language.family.towers(language.model)
    return language


@pytest.fixture
def language(folder: str) -> LanguagePolicy:
    return TINY.policy(folder)


@pytest.fixture
def onevision(language: LanguagePolicy) -> LanguagePolicy:
    """As transformers computes it: one newline behind the video."""
    return with_family(language, newline="video")


def theirs(language: LanguagePolicy) -> LlavaOnevisionForConditionalGeneration:
    """transformers' own model with the same weights."""
    model = LlavaOnevisionForConditionalGeneration(language.model.config).eval()
    model.load_state_dict(language.model.state_dict())
    return model


def pixels_of(video: VideoClip) -> Tensor:
    return (squares(video.frames_TCHW, SIDE) / 255.0 - 0.5) / 0.5


def laid_out(language: LanguagePolicy, question: Prompt) -> Prompt:
    return replace(question, layout=language.processor(question))


def test_ids_and_pixels_are_those_of_transformers_processor(tmp_path: Path) -> None:
    """Its tokenizer has a <video> token, at the id that the family is told."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(tmp_path))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", "<video>"]})
    tokenizer.save_pretrained(tmp_path)
    family = LlavaOnevision(newline="video", side=SIDE, video_token=tokenizer.convert_tokens_to_ids("<video>"))
    processor = LanguageProcessor(str(tmp_path), family=family)
    size, half = {"height": SIDE, "width": SIDE}, [0.5, 0.5, 0.5]
    published = LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size=size), tokenizer,
        LlavaOnevisionVideoProcessor(size=size, image_mean=half, image_std=half),
        num_image_tokens=(SIDE // 14) ** 2, vision_feature_select_strategy="full", chat_template=QWEN_1_5,
    )  # fmt: skip
    question = prompt("p", "When is the red square visible?", clip("p", 5, SIDE, SIDE))
    layout = processor(question)
    text = published.apply_chat_template(question.template.messages(question), add_generation_prompt=True)
    expected = published(text=text, videos=[question.clip.frames_TCHW], return_tensors="pt")
    assert layout.ids_L.tolist() == expected["input_ids"][0].tolist()
    assert layout.positions_3L.tolist() == [list(range(len(layout)))] * 3
    torch.testing.assert_close(family._pixels(question.clip.frames_TCHW), expected["pixel_values_videos"][0])


def test_features_and_logits_are_those_of_transformers(onevision: LanguagePolicy) -> None:
    """Frames of other sizes are resized first; every clip ends with its own newline."""
    asked, model = [laid_out(onevision, question) for question in prompts(28)], theirs(onevision)
    seen, start = onevision.towers.see(asked).tokens_ND, 0
    for question in asked:
        pixels, ids = pixels_of(question.clip)[None], question.layout.ids_L[None]
        expected = model.model.get_video_features(pixels).pooler_output[0]
        torch.testing.assert_close(seen[start : start + len(expected)], expected, atol=1e-5, rtol=1e-4)
        start += len(expected)
        with torch.no_grad():
            logits = model(input_ids=ids, pixel_values_videos=pixels).logits[0, -1]
        first = logits.index_fill(0, torch.tensor(onevision.towers.banned), -torch.inf).argmax()
        greedy = onevision.sample([question], 1, Sampling(temperature=0.0, max_actions=1), seed=0)[0].rollouts[0]
        assert greedy.actions_A.tolist() == [int(first)]
    assert start == len(seen)


def test_gradients_are_those_of_transformers(onevision: LanguagePolicy) -> None:
    question, model = laid_out(onevision, prompts(28)[1]), theirs(onevision)
    weights = torch.randn(1, generator=torch.Generator().manual_seed(0))
    for features in (
        onevision.towers.see([question]).tokens_ND,
        model.model.get_video_features(pixels_of(question.clip)[None]).pooler_output[0],
    ):
        (features * weights).square().sum().backward()
    found = dict(onevision.model.named_parameters())
    seeing = {n: p for n, p in model.named_parameters() if p.grad is not None}
    assert len(seeing) > 30 and "model.image_newline" in seeing
    for name, parameter in seeing.items():
        torch.testing.assert_close(found[name].grad, parameter.grad, atol=1e-4, rtol=1e-3, msg=name)


def test_llava_video_puts_a_newline_behind_every_row(language: LanguagePolicy) -> None:
    question, model = laid_out(language, prompts(28)[1]), theirs(language)
    rows = model.model.get_video_features(pixels_of(question.clip)[None]).pooler_output[0, :-1].unflatten(0, (-1, 2))
    newlines = model.model.image_newline.expand(len(rows), 1, -1)
    expected = torch.cat([rows, newlines], dim=1).flatten(0, 1)
    torch.testing.assert_close(language.towers.see([question]).tokens_ND, expected, atol=1e-5, rtol=1e-4)


def test_a_bf16_tower_computes_without_autocast(language: LanguagePolicy) -> None:
    """Like a frozen tower on a GPU; one fp32 parameter, such as an adapter's, brings autocast back."""
    asked = [laid_out(language, question) for question in prompts(28)]
    with torch.no_grad():
        exact = language.towers.see(asked).tokens_ND
        tower, inside = language.model.model.vision_tower.to(torch.bfloat16), []
        tower.encoder.layers[0].register_forward_pre_hook(lambda *_: inside.append(torch.is_autocast_enabled("cpu")))
        found = []
        for dtype in (torch.bfloat16, torch.float32):
            tower.encoder.layers[1].mlp.fc2.to(dtype)
            with torch.autocast("cpu", torch.bfloat16):
                found.append(language.towers.see(asked).tokens_ND.float())
    assert inside == [False, True]
    for features in found:
        assert (features - exact).norm() < 0.04 * exact.norm()


def test_a_published_frame_has_210_tokens(folder: str) -> None:
    published = LanguageProcessor(folder, family=LlavaOnevision())
    lengths = [len(published(prompt("p", "When?", clip("p", count, 32, 64)))) for count in (1, 2, 17)]
    assert (lengths[1] - lengths[0], lengths[2] - lengths[1]) == (210, 15 * 210)
    whole = LanguageProcessor(folder, family=LlavaOnevision(newline="video"))
    assert int((whole(prompt("p", "When?", clip("p", 3))).ids_L == 151_647).sum()) == 3 * 196 + 1


def test_the_conversation_is_qwen_1_5(folder: str) -> None:
    processor, question = LanguageProcessor(folder, family=TINY.family), prompt("p", "When?")
    assert processor.text(question.template.messages(question)) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<video>\nWhen?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_tokenizer_of_llava_video_needs_no_token_for_videos(real_data: Path, tmp_path: Path) -> None:
    """Qwen2's, with three special tokens and a chat template that knows text only."""
    folder = real_data / "tokenizer_qwen2"
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(folder / name, tmp_path / name)
    config = json.loads((folder / "tokenizer_config.qwen25.json").read_text(encoding="utf-8"))
    added = {number: config["added_tokens_decoder"][number] for number in ("151643", "151644", "151645")}
    config |= {"added_tokens_decoder": added, "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]}
    config["chat_template"] = "{% for message in messages %}{{ message['role'] + message['content'] }}{% endfor %}"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    processor = LanguageProcessor(str(tmp_path), family=LlavaOnevision())
    assert len(processor.loaded) == 151_646 and processor.end == 151_645
    ids = processor(prompt("p", "When?", clip("p", 3))).ids_L.tolist()
    system = [151644, 8948, 198, 2610, 525, 264, 10950, 17847, 13, 151645, 198]
    video, question = [151_647] * (3 * 210), [198, 4498, 30]  # "\n", "When", "?"
    assert ids == [*system, 151644, 872, 198, *video, *question, 151645, 198, 151644, 77091, 198]


@pytest.mark.parametrize(("chosen", "how"), [([0, 1, 2, 3], "uniformly sampled"), ([0, 1], "sampled")])
def test_times_of_chosen_frames_can_be_told(folder: str, chosen: list[int], how: str) -> None:
    processor = LanguageProcessor(folder, family=replace(TINY.family, tell_times=True))
    question = prompt("p", "When?", clip("p", 4).take(torch.tensor(chosen)))
    layout = processor(question)
    written = processor.loaded.decode([i for i in layout.ids_L.tolist() if i != 518])
    times = ",".join(f"{index / 2:.2f}s" for index in chosen)
    told = f"The video lasts for 2.00 seconds, and {len(chosen)} frames are {how} from it. These frames are located at "
    assert f"user\n\n{told}{times}.Please answer the following questions related to this video.\nWhen?" in written


@pytest.mark.parametrize("size", [(90, 160), (33, 21), (42, 42)])
def test_squares_are_pils_up_to_rounding(size: tuple[int, int]) -> None:
    frames = clip("p", 3, *size).frames_TCHW
    ours = squares(frames, SIDE).permute(0, 2, 3, 1).numpy()
    for number, frame in enumerate(frames.permute(0, 2, 3, 1).numpy()):
        expected = np.asarray(Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        difference = np.abs(ours[number].astype(int) - expected.astype(int))
        assert difference.max() <= 1 and difference.mean() < 0.01


Change = Callable[[dict[str, Tensor], dict[str, object]], None]


def published(language: LanguagePolicy, folder: Path, change: Change = lambda tensors, config: None) -> str:
    """The policy's weights in the layout of the published LLaVA-Video checkpoints: two files and an index."""
    language.processor.loaded.save_pretrained(folder)
    text = language.model.config.text_config
    names = {
        "model.vision_tower.": "model.vision_tower.vision_tower.vision_model.",
        "model.multi_modal_projector.linear_1.": "model.mm_projector.0.",
        "model.multi_modal_projector.linear_2.": "model.mm_projector.2.",
        "model.language_model.": "model.",
    }
    tensors = {
        next((new + name.removeprefix(old) for old, new in names.items() if name.startswith(old)), name): value.clone()
        for name, value in language.model.state_dict().items()
    }
    config: dict[str, object] = {
        "architectures": ["LlavaQwenForCausalLM"], "model_type": "llava_qwen", "vocab_size": text.vocab_size,
        "hidden_size": text.hidden_size, "intermediate_size": text.intermediate_size,
        "num_hidden_layers": text.num_hidden_layers, "num_attention_heads": text.num_attention_heads,
        "num_key_value_heads": text.num_key_value_heads, "max_position_embeddings": text.max_position_embeddings,
        "rms_norm_eps": text.rms_norm_eps, "rope_theta": 10000.0, "rope_scaling": None, "use_sliding_window": False,
        "tie_word_embeddings": False, "mm_newline_position": "grid", "mm_spatial_pool_mode": "bilinear",
        "mm_spatial_pool_stride": 2, "mm_projector_type": "mlp2x_gelu", "mm_vision_select_layer": -2,
        "mm_hidden_size": 32, "mm_vision_tower": "google/siglip-so400m-patch14-384",
    }  # fmt: skip
    change(tensors, config)
    halves = [dict(list(tensors.items())[part::2]) for part in (0, 1)]
    files = [f"model-0000{part + 1}-of-00002.safetensors" for part in (0, 1)]
    for name, half in zip(files, halves, strict=True):
        save_file(half, folder / name, {"format": "pt"})
    index = {name: file for file, half in zip(files, halves, strict=True) for name in half}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def loading(folder: str, **changes: object) -> LanguagePolicy:
    """A policy of the weights in `folder`. The sizes of the tiny vision tower are the family's, as SigLIP's are."""
    siglip = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": SIDE, "patch_size": 14, "vision_use_head": False,
    }  # fmt: skip
    family = replace(TINY.family, **{"siglip": siglip, "video_token": 151_647, **changes})
    return LanguagePolicy(LanguageProcessor(folder, family=family), weights=folder)


def test_the_published_layout_loads_with_the_same_answers(
    language: LanguagePolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def many(tensors: dict[str, Tensor], config: dict[str, object]) -> None:
        """As published: the ids of images and videos lie within the embedding, beyond the tokenizer."""
        config["vocab_size"] = 151_648
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            tensors[name] = torch.nn.functional.pad(tensors[name], (0, 0, 0, 151_648 - 520))

    loaded = loading(published(language, tmp_path, many))
    loaded.build()
    assert loaded.towers.banned == (151_647, 151_646)
    expected, found = language.model.state_dict(), loaded.model.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name][:520], value) for name, value in expected.items())
    ours, others = (p.towers.see([laid_out(p, q) for q in prompts(28)]).tokens_ND for p in (loaded, language))
    assert torch.equal(ours, others)
    answers = [p.sample(prompts(28), 1, Sampling(temperature=0.0, max_actions=8), 0) for p in (loaded, language)]
    assert [g.rollouts[0].text for g in answers[0]] == [g.rollouts[0].text for g in answers[1]]


def test_the_dropped_last_layer_is_one_that_the_published_models_never_read(language: LanguagePolicy) -> None:
    """A SigLIP with one layer more, read at its last layer's input: -2, as config.json says."""
    whole = SiglipVisionModel(type(language.towers.vision.config)(**{
        **language.towers.vision.config.to_dict(), "num_hidden_layers": 3,
    })).eval()  # fmt: skip
    whole.load_state_dict(language.model.model.vision_tower.state_dict(), strict=False)
    question = laid_out(language, prompts(28)[0])
    read = whole(pixels_of(question.clip), output_hidden_states=True).hidden_states[-2]
    projected = theirs(language).model.apply_pooling(language.model.model.multi_modal_projector(read))
    seen = language.towers.see([question]).tokens_ND.unflatten(0, (-1, 2, 3))[:, :, :2].flatten(1, 2)
    torch.testing.assert_close(seen, projected, atol=1e-5, rtol=1e-4)


def without_newline(tensors: dict[str, Tensor], config: dict[str, object]) -> None:
    del tensors["model.image_newline"]


@pytest.mark.parametrize(
    ("change", "changes", "words"),
    [
        (without_newline, {}, r"missing keys: model\.image_newline"),
        (lambda t, c: t.update(more=torch.ones(1)), {}, "unexpected keys: more"),
        (lambda t, c: c.update(use_sliding_window=True), {}, "use_sliding_window: True; .* computes False"),
        (lambda t, c: c.update(mm_spatial_pool_mode="average"), {}, "mm_spatial_pool_mode: 'average'.*'bilinear'"),
        (
            lambda t, c: None,
            {"newline": "video"},
            "mm_newline_position 'grid', but processor.family.newline is 'video'",
        ),
        (lambda t, c: None, {"video_token": 7}, r"side of a frame and video token are \(14, 42, 151647\)"),
    ],
)
def test_another_checkpoint_is_refused(
    language: LanguagePolicy, tmp_path: Path, change: Change, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        loading(published(language, tmp_path, change), **changes).build()


def test_an_export_is_transformers_own(onevision: LanguagePolicy, tmp_path: Path) -> None:
    onevision.save_pretrained(tmp_path)
    question = laid_out(onevision, prompts(28)[0])
    given = {"input_ids": question.layout.ids_L[None], "pixel_values_videos": pixels_of(question.clip)[None]}
    reloaded = LlavaOnevisionForConditionalGeneration.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(reloaded(**given).logits, theirs(onevision)(**given).logits, atol=1e-4, rtol=1e-4)
    again = LanguagePolicy(LanguageProcessor(str(tmp_path), family=onevision.family), weights=str(tmp_path))
    again.build()
    assert torch.equal(again.towers.see([question]).tokens_ND, onevision.towers.see([question]).tokens_ND)


def test_parts_freeze_by_name(language: LanguagePolicy) -> None:
    """The newline belongs to the merger, as in LLaVA's training stages; the norm that nothing reads stays frozen."""
    vision = dict(language.towers.vision.named_parameters())
    assert {name for name in vision if name.startswith("merger")} == {
        "merger.newline",
        *(f"merger.projector.linear_{layer}.{kind}" for layer in (1, 2) for kind in ("weight", "bias")),
    }
    assert {name for name, p in vision.items() if not p.requires_grad} == {
        "tower.post_layernorm.weight", "tower.post_layernorm.bias",
    }  # fmt: skip
    trained = {"vision": 0, "tower": 5, "merger": len(vision) - 5 - 2}
    for part, count in trained.items():
        frozen = LanguagePolicy(language.processor, config=TINY.config, freeze=(part,))
        frozen.build()
        assert sum(p.requires_grad for p in frozen.towers.vision.parameters()) == count, part


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"single_frames": False}, "single_frames=false: LLaVA sees every frame by itself"),
        ({"newline": "frame"}, 'newline must be "row" or "video", got \'frame\''),
        ({"side": 7}, "at least one patch of 14, got 7"),
    ],
)
def test_a_family_that_cannot_be_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        LlavaOnevision(**changes)


def test_the_option_states_the_sizes_of_llava_video_7b() -> None:
    made = instantiate(compose(["policy=llava_video_7b", "frames=llava_video"]).policy, _convert_="all")
    sizes = made.sizes()
    assert (sizes.parameters, sizes.vision) == (8_030_348_832, 414_732_320)
    load = Workload(text_tokens=300, vision_tokens=64 * 210, completion=256, group=8, at_once=1, prompts=1, rows=8)
    whole = estimate(sizes, load)
    assert whole.held("always") == pytest.approx(16 * sizes.trained, rel=1e-3) and whole.need > whole.held("always")


def test_a_model_with_a_sliding_window_or_another_vision_layer_is_refused(folder: str) -> None:
    config = TINY.config(LanguageProcessor(folder).loaded)
    config.text_config.layer_types = ["full_attention", "full_attention", "sliding_attention"]
    with pytest.raises(ValueError, match="within a sliding window"):
        TINY.family.create(config)
    config = TINY.config(LanguageProcessor(folder).loaded)
    config.vision_feature_layer = -2
    with pytest.raises(ValueError, match=r"another layer than SigLIP's last one.*\(-2, full\)"):
        TINY.family.create(config)


def test_any_slot_that_asks_for_single_frames_takes_the_family_as_it_is() -> None:
    config = compose(["policy=llava_video_7b", "frames=llava_video", "sampler=uniform", "shown_frames=16"])
    assert config.processor.family.single_frames is True
    assert instantiate(config.processor, _convert_="all").family == LlavaOnevision()
