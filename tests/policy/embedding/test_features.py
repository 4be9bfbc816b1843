"""Features of frames and questions: those of transformers, once a video, stored by content, and what is refused."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.tiny_clip import clip_folder, siglip_folder
from helpers.tiny_language import clip
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel, SiglipModel

from kairos.compose import compose, part
from kairos.core.prompt_text import PromptError
from kairos.core.types import Prompt, Target, VideoClip, VideoSource
from kairos.data.dataset import PromptDataset
from kairos.data.records import Record
from kairos.policy.embedding.encoder import encoder_of
from kairos.policy.embedding.features import ClipFeatures
from kairos.policy.frame_agent.agent import TemporalAgent
from kairos.video.composed import ComposedClip
from kairos.video.samplers.scores import CosineScores
from kairos.video.store.feature_stores import FeatureFiles

QUESTION = "Which shape is red?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return clip_folder(tmp_path_factory.mktemp("encoders") / "clip")


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return siglip_folder(tmp_path_factory.mktemp("encoders") / "siglip")


@pytest.fixture
def store(tmp_path: Path) -> FeatureFiles:
    return FeatureFiles(tmp_path / "features")


def prompt(video: VideoClip | None = None, question: str = QUESTION) -> Prompt:
    return Prompt("p", "needle", "tiny", clip("c", 7, 48, 80) if video is None else video, question, Target())


def stored_files(store: FeatureFiles) -> list[Path]:
    return sorted(store.folder.rglob("*.safetensors"))


def by_hand(weights: str, kind: type[CLIPModel] | type[SiglipModel], video: VideoClip) -> tuple[Tensor, Tensor]:
    """One frame at a time as a PIL image, and the question alone: as transformers' examples do it."""
    model = kind.from_pretrained(weights).eval()
    images = AutoImageProcessor.from_pretrained(weights, backend="pil")
    assert video.frames_TCHW is not None
    pictures = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in video.frames_TCHW]
    padding = "max_length" if kind is SiglipModel else False
    tokens = AutoTokenizer.from_pretrained(weights)(QUESTION, padding=padding, max_length=16, return_tensors="pt")
    with torch.no_grad():
        pixels = [images(picture, return_tensors="pt")["pixel_values"] for picture in pictures]
        frames = [model.get_image_features(each).pooler_output[0] for each in pixels]
        return torch.stack(frames), model.get_text_features(**tokens).pooler_output[0]


@pytest.mark.parametrize("kind", [CLIPModel, SiglipModel])
def test_features_are_those_of_transformers(kind: type[CLIPModel] | type[SiglipModel], folder: str, siglip: str):
    weights = folder if kind is CLIPModel else siglip
    smooth = (
        torch.arange(256, dtype=torch.uint8).repeat(7, 3, 64, 1)[..., :80] + torch.arange(7).view(7, 1, 1, 1).byte()
    )
    video = replace(clip("c", 7, 64, 80), frames_TCHW=smooth)
    seen = ClipFeatures(weights)(prompt(video))
    frames, question = by_hand(weights, kind, video)
    torch.testing.assert_close(seen.features["question"], question, atol=1e-5, rtol=1e-5)
    ours = seen.clip.features["clip"]
    assert ours.shape == frames.shape and ours.dtype == torch.float32
    # PIL rounds after each of two passes of its resize: pixels differ by at most 2 of 255 levels.
    assert float((ours - frames).norm() / frames.norm()) < 0.02
    assert float((ours.norm(dim=-1) - 1).abs().min()) > 0.01, "not normalised"


def test_frames_do_not_depend_on_the_batch(folder: str):
    video = clip("c", 7, 48, 80)
    torch.testing.assert_close(ClipFeatures(folder, batch=2).of_clip(video), ClipFeatures(folder).of_clip(video))


def test_a_video_is_seen_once_whatever_is_asked(folder: str, store: FeatureFiles):
    add = ClipFeatures(folder, store)
    add(prompt())
    assert len(stored_files(store)) == 2, "one file of the clip, one of the question"
    encoder = encoder_of(folder, "float32")
    marked = torch.arange(7 * 32.0).view(7, 32)
    store.put(f"{encoder.name}/{encoder.frame_names(prompt().clip)}", marked)
    asked_more = add(prompt(question="What colour is the circle?"))
    assert torch.equal(asked_more.clip.features["clip"], marked), "read from the store"
    assert len(stored_files(store)) == 3, "one more question"
    add(prompt(clip("d", 7, 48, 80, seed=1)))
    assert len(stored_files(store)) == 4, "one more clip"


def test_a_process_that_finds_all_features_loads_no_model(
    folder: str, store: FeatureFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = ClipFeatures(folder, store)(prompt())
    other = tmp_path / "elsewhere"
    other.symlink_to(folder)
    monkeypatch.setattr("kairos.policy.embedding.encoder.AutoModel", None)
    again = ClipFeatures(str(other), store)(prompt())
    assert torch.equal(again.features["question"], first.features["question"])


def test_other_weights_and_types_have_files_of_their_own(folder: str, store: FeatureFiles, tmp_path: Path):
    other = clip_folder(tmp_path / "other", seed=1)
    names = {encoder_of(weights, dtype).name for weights in (folder, other) for dtype in ("float32", "bfloat16")}
    assert len(names) == 4
    half = ClipFeatures(folder, store, dtype="bfloat16")(prompt()).clip.features["clip"]
    whole = ClipFeatures(folder, store)(prompt()).clip.features["clip"]
    assert half.dtype == torch.float32 and not torch.equal(half, whole)
    torch.testing.assert_close(half, whole, atol=0.15, rtol=0.1)


def test_it_travels_to_workers_without_its_model(folder: str, store: FeatureFiles):
    add = ClipFeatures(folder, store)
    add(prompt())
    assert len(pickle.dumps(add)) < 2_000
    assert pickle.loads(pickle.dumps(add)).of_text(QUESTION).shape == (32,)


def test_texts_are_cut_at_the_models_length(folder: str):
    long = "a red circle and " * 40
    assert torch.equal(ClipFeatures(folder).of_text(long), ClipFeatures(folder).of_text(long + "a blue square"))
    assert not torch.equal(ClipFeatures(folder).of_text("red"), ClipFeatures(folder).of_text("blue"))


def test_an_agent_and_a_sampler_read_them(folder: str):
    seen = ClipFeatures(folder)(prompt())
    assert CosineScores()(seen).shape == (7,)
    assert TemporalAgent(width=32, heads=4).scores_of(seen).shape == (7,)


def test_features_of_another_encoder_or_clip_are_refused_by_name(folder: str, siglip: str):
    add, seen = ClipFeatures(folder), ClipFeatures(siglip)(prompt())
    with pytest.raises(ValueError, match=r"clip c has 7 frames, and .*/clip gives features of width 32, .*\[7, 24\]"):
        add(prompt(seen.clip))
    strange = replace(seen.clip, features={"clip": torch.zeros(5, 32)})
    with pytest.raises(ValueError, match=r"of another clip or of another encoder"):
        add(prompt(strange))
    with pytest.raises(ValueError, match=r"prompt p: .*width 24.*width 32: they are of another tower"):
        TemporalAgent(width=32, heads=4).scores_of(seen)


def test_stored_features_of_another_number_are_refused(folder: str, store: FeatureFiles):
    add = ClipFeatures(folder, store)
    encoder = encoder_of(folder, "float32")
    store.put(f"{encoder.name}/{encoder.frame_names(prompt().clip)}", torch.zeros(5, 32))
    with pytest.raises(ValueError, match=r"7 frames, but 5 features are stored as .*delete that file"):
        add(prompt())


def test_a_composed_clip_has_the_features_of_its_parts_which_are_seen_once(folder: str, store: FeatureFiles):
    add = ClipFeatures(folder, store)
    parts = (clip("a", 3, 48, 80, seed=1), clip("b", 4, 64, 64, seed=2))
    part_T, index_T = torch.tensor([1, 1, 0, 0, 1]), torch.tensor([0, 3, 2, 2, 1])
    whole = ComposedClip("ab", None, torch.arange(5.0), 5.0, parts=parts, part_T=part_T, index_T=index_T)
    seen = add(prompt(whole)).clip
    alone = [add.of_clip(each) for each in parts]
    expected = torch.stack([alone[part][index] for part, index in zip(part_T.tolist(), index_T.tolist(), strict=True)])
    assert torch.equal(seen.features["clip"], expected)
    assert len(stored_files(store)) == 3, "two parts and a question"


def test_a_clip_keeps_the_features_that_it_has_and_one_without_frames_needs_some(folder: str):
    bare = VideoClip("ab", None, torch.arange(7.0), 7.0, {"clip": torch.randn(7, 32)})
    assert torch.equal(ClipFeatures(folder)(prompt(bare)).clip.features["clip"], bare.features["clip"])
    with pytest.raises(ValueError, match="clip ab has no frames"):
        ClipFeatures(folder)(prompt(replace(bare, features={})))


def test_an_empty_question_is_a_failure_of_its_row_alone(folder: str):
    with pytest.raises(PromptError, match="no word is left of the question"):
        ClipFeatures(folder).of_text("<image>\n \nA. a bird\nB. a car")

    class Camera:
        def load(self, source: VideoSource) -> VideoClip:
            return clip(source.path, 7, 48, 80)

    rows = [Record(name, "needle", "tiny", VideoSource(name), said, Target()) for name, said in (("a", ""), ("b", "x"))]
    failed, good = PromptDataset(rows, Camera(), enrich={"clip": ClipFeatures(folder)})
    assert "no word is left" in failed.reason and good.features["question"].shape == (32,)


def test_weights_that_are_no_clip_are_refused_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="neither mini_clip, nor a folder, nor a Hugging Face id"):
        ClipFeatures("no such id/at all").of_text("x")
    with pytest.raises(ValueError, match=r"lacks config.json or \*.safetensors"):
        ClipFeatures(str(tmp_path)).of_text("x")
    with pytest.raises(ValueError, match="features of frames and of questions need a model of both"):
        ClipFeatures("mini_base").of_text("x")


@pytest.mark.parametrize(("wrong", "message"), [({"dtype": "float16"}, "dtype"), ({"batch": 0}, "batch")])
def test_wrong_options_are_one_clear_line(wrong: dict[str, int], message: str):
    with pytest.raises(ValueError, match=f"enrich.clip.{message} must"):
        ClipFeatures("mini_clip", **wrong)


@pytest.mark.parametrize("option", ["clip", "mini_clip", "siglip"])
def test_the_options_build_without_loading_anything(option: str):
    built = part(compose([f"enrich={option}", "data=toy"]).enrich)
    assert list(built) == ["clip"] and isinstance(built["clip"], ClipFeatures)
