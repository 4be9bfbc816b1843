"""Token ids and patches against those of transformers' own processors, for Qwen's families."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from helpers.tiny_language import FAMILIES, clip, prompt
from transformers import (
    PreTrainedTokenizerBase,
    ProcessorMixin,
    Qwen2_5_VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)
from transformers.models.qwen2_vl import Qwen2VLImageProcessor
from transformers.video_utils import VideoMetadata

from kairos.core.types import Prompt, VideoSource
from kairos.policy.models.mini_tokenizer import CHAT_TEMPLATE
from kairos.policy.processor import LanguageProcessor
from kairos.video.budget import PixelBudget
from kairos.video.loader import ClipLoader
from kairos.video.store.clips import ClipStore

AS_GIVEN = {"do_sample_frames": False, "do_resize": False, "cap_pixels_per_frame": False}
SHAPES = {
    "one pair": (2, 2, 2),
    "one frame": (1, 2, 3),
    "odd": (5, 2, 3),
    "one token": (4, 1, 1),
    "tall": (6, 9, 2),
    "wide": (3, 1, 11),
    "large": (2, 24, 32),
}
"""Frames, and rows and columns of tokens; 24 x 32 are the 768 tokens that a frame may have at most."""


def theirs(family: str, tokenizer: PreTrainedTokenizerBase) -> ProcessorMixin:
    """The released models' processor, at their patch sizes, which neither chooses frames nor resizes them."""
    if family == "qwen2_5_vl":
        video = Qwen2VLVideoProcessor(**AS_GIVEN)
        return Qwen2_5_VLProcessor(Qwen2VLImageProcessor(), tokenizer, video)
    images = Qwen2VLImageProcessor(patch_size=16, merge_size=2)
    return Qwen3VLProcessor(images, tokenizer, Qwen3VLVideoProcessor(**AS_GIVEN))


def assert_parity(family: str, processor: LanguageProcessor, question: Prompt, metadata: VideoMetadata) -> None:
    layout = processor(question)
    expected = theirs(family, processor.loaded)(
        text=[processor.text(question.template.messages(question))],
        videos=[question.clip.frames_TCHW],
        video_metadata=[metadata],
        return_tensors="pt",
    )
    assert layout.ids_L.tolist() == expected["input_ids"][0].tolist()
    assert layout.grid_thw_N3.tolist() == expected["video_grid_thw"].tolist()
    if "second_per_grid_ts" in expected:
        assert layout.seconds_per_grid == pytest.approx(float(expected["second_per_grid_ts"][0]), rel=1e-3)
    frames = question.clip.frames_TCHW if layout.frames is None else question.clip.frames_TCHW[layout.frames]
    assert torch.equal(processor.family.cut.patches(frames), expected["pixel_values_videos"])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("family", [name for name in FAMILIES if name.startswith("qwen")])
def test_edge_shapes(folder: str, family: str, shape: tuple[int, int, int]) -> None:
    tiny, (frames, rows, columns), fps = FAMILIES[family], shape, 1.6
    video = clip("p", frames, rows * tiny.token, columns * tiny.token, fps=fps)
    question = prompt("p", "When is the red square visible?", video)
    metadata = VideoMetadata(total_num_frames=frames, fps=fps, frames_indices=list(range(frames)))
    assert_parity(family, LanguageProcessor(folder, family=tiny.family), question, metadata)


REAL = {
    ("qwen2_5_vl", "qwen2_5_3584", "qwen25"): ["OHOFG.mp4", "flipping_a_pancake.mkv"],
    ("qwen2_5_vl", "qwen2_5_2048", "qwen25"): ["basketball_structuralize.mp4"],
    ("qwen3_vl", "qwen3_14336", "qwen3"): ["OHOFG.mp4", "flipping_a_pancake.mkv"],
    ("qwen3_5", "qwen3_14336", "qwen3"): ["OHOFG.mp4"],
}
"""Family, option of conf/frames, tokenizer; the clips of real data that are tried."""


@pytest.mark.parametrize("case", REAL, ids=lambda case: f"{case[0]} {case[1]}")
def test_real_clips_with_the_real_tokenizer(
    real_data: Path, repository: Path, tmp_path: Path, case: tuple[str, str, str]
) -> None:
    """Decoded and resized by a budget of conf/frames; transformers gets the same frames and the file's rate."""
    family, frames, tokenizer = case
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(real_data / "tokenizer_qwen2" / name, tmp_path / name)
    shutil.copy(
        real_data / "tokenizer_qwen2" / f"tokenizer_config.{tokenizer}.json", tmp_path / "tokenizer_config.json"
    )
    option = yaml.safe_load((repository / "conf" / "frames" / f"{frames}.yaml").read_text(encoding="utf-8"))
    budget = PixelBudget(**{name: value for name, value in option.items() if name not in ("_target_", "shown")})
    processor = LanguageProcessor(str(tmp_path), family=FAMILIES[family].family, chat_template=CHAT_TEMPLATE)
    assert processor.end == 151645
    loader = ClipLoader(ClipStore(str(tmp_path / "clips")), budget=budget, on_miss="off")
    for name in REAL[case]:
        source = VideoSource(str(real_data / "videos" / name))
        video, probe = loader.load(source), loader.probe(source)
        index = budget.indices(probe.frames, probe.fps)
        metadata = VideoMetadata(total_num_frames=probe.frames, fps=probe.fps, frames_indices=index)
        question = prompt("p", "Wann setzt sich die Person hin? <answer>12.5</answer>", video)
        assert_parity(family, processor, question, metadata)
