"""The Qwen3-VL family against transformers' own processor, positions and vision tower."""

from __future__ import annotations

import itertools
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from tiny_language import clip, policy, prompt, prompts, tokenizer_folder
from transformers import Qwen3VLProcessor, Qwen3VLVideoProcessor
from transformers.models.qwen2_vl import Qwen2VLImageProcessor
from transformers.video_utils import VideoMetadata

from kairos.core.types import Prompt, VideoClip
from kairos.policy.language import LanguagePolicy
from kairos.policy.processor import LanguageProcessor
from kairos.policy.tokenizer import CHAT_TEMPLATE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tokenizer_folder(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def tiny(folder: str) -> LanguagePolicy:
    return policy(folder)


def official(processor: LanguageProcessor, question: Prompt, fps: float) -> dict[str, torch.Tensor]:
    """What transformers' processor makes of the same frames and messages."""
    whole = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=16, merge_size=2),
        tokenizer=processor.loaded,
        video_processor=Qwen3VLVideoProcessor(do_sample_frames=False, do_resize=False, cap_pixels_per_frame=False),
    )
    text = processor.text(question.template.messages(question))
    frames = question.clip.frames_TCHW
    count = len(frames)
    metadata = VideoMetadata(total_num_frames=count, fps=fps, frames_indices=list(range(count)))
    return dict(whole(text=[text], videos=[frames], video_metadata=[metadata], return_tensors="pt"))


def assert_same(tiny: LanguagePolicy, processor: LanguageProcessor, question: Prompt, fps: float) -> None:
    layout = processor(question)
    expected = official(processor, question, fps)
    assert layout.ids_L.tolist() == expected["input_ids"][0].tolist()
    assert layout.grid_thw_N3.tolist() == expected["video_grid_thw"].tolist()
    frames = question.clip.frames_TCHW
    patches = tiny.family.cut.patches(frames if layout.frames is None else frames[layout.frames])
    torch.testing.assert_close(patches, expected["pixel_values_videos"], atol=1e-6, rtol=0)
    positions, _ = tiny.model.model.get_rope_index(
        layout.ids_L[None],
        mm_token_type_ids=2 * (layout.ids_L == processor.markers.pad).int()[None],
        video_grid_thw=layout.grid_thw_N3,
    )
    assert torch.equal(layout.positions_3L, positions[:, 0])


@pytest.mark.parametrize("frames,height,width,fps", [(8, 64, 64, 2.0), (5, 64, 96, 4.0), (12, 96, 32, 1.5)])
def test_layout_and_patches_are_those_of_transformers(
    tiny: LanguagePolicy, frames: int, height: int, width: int, fps: float
) -> None:
    question = prompt("p", "When is the red square visible?", clip("p", frames, height, width, fps=fps))
    assert_same(tiny, tiny.processor, question, fps)


def frames_of(path: Path, count: int, size: int) -> tuple[torch.Tensor, float]:
    """The first frames of a file, as small squares."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = itertools.islice(container.decode(stream), count)
        small = [frame.reformat(width=size, height=size, format="rgb24").to_ndarray() for frame in decoded]
        return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).contiguous(), float(stream.average_rate)


def test_layout_of_a_real_clip_with_the_real_tokenizer(tiny: LanguagePolicy, real_data: Path, tmp_path: Path) -> None:
    for source, name in (
        ("vocab.json", "vocab.json"),
        ("merges.txt", "merges.txt"),
        ("tokenizer_config.qwen3.json", "tokenizer_config.json"),
    ):
        shutil.copy(real_data / "tokenizer_qwen2" / source, tmp_path / name)
    frames, fps = frames_of(real_data / "videos" / "OHOFG.mp4", count=9, size=128)
    video = VideoClip("OHOFG", frames, torch.arange(9, dtype=torch.float64) / fps, 9 / fps)
    processor = LanguageProcessor(str(tmp_path), chat_template=CHAT_TEMPLATE)
    assert processor.end == 151645
    assert_same(tiny, processor, prompt("p", "When does the person sit down?", video), fps)


def test_the_vision_tower_is_that_of_transformers(tiny: LanguagePolicy) -> None:
    laid_out = [replace(p, layout=tiny.processor(p)) for p in prompts()]
    seen = tiny.family.see(tiny.model, laid_out)
    frames = [p.clip.frames_TCHW if p.layout.frames is None else p.clip.frames_TCHW[p.layout.frames] for p in laid_out]
    patches = torch.cat([tiny.family.cut.patches(frame) for frame in frames])
    grids = torch.cat([p.layout.grid_thw_N3 for p in laid_out])
    tower = tiny.model.model.visual
    ours = tower.config._attn_implementation
    tower.config._attn_implementation = "sdpa"
    expected = tower(patches, grid_thw=grids)
    tower.config._attn_implementation = ours
    torch.testing.assert_close(seen.tokens_ND, expected.pooler_output, atol=2e-5, rtol=1e-4)
    for deep, other in zip(seen.deeper, expected.deepstack_features, strict=True):
        torch.testing.assert_close(deep, other, atol=2e-5, rtol=1e-4)


def test_a_processor_pickles_as_its_fields(folder: str) -> None:
    processor = LanguageProcessor(folder)
    layout = processor(prompts()[0])
    text = pickle.dumps(processor)
    assert len(text) < 1000
    assert torch.equal(pickle.loads(text)(prompts()[0]).ids_L, layout.ids_L)


def test_a_text_with_a_video_token_is_refused(folder: str) -> None:
    with pytest.raises(ValueError, match="contains a video token"):
        LanguageProcessor(folder)(prompt("p", "When <|video_pad|>?"))


def test_sides_that_patches_do_not_divide_are_refused(folder: str) -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        LanguageProcessor(folder)(prompt("p", "When?", clip("p", height=48)))


def test_a_prompt_without_template_or_frames_is_refused(folder: str) -> None:
    question = prompt("p", "When?")
    with pytest.raises(ValueError, match="no template"):
        LanguageProcessor(folder)(replace(question, template=None))
    blind = VideoClip("p", None, torch.arange(4.0), 2.0)
    with pytest.raises(ValueError, match="no frames"):
        LanguageProcessor(folder)(replace(question, clip=blind))
