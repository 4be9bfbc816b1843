"""The Qwen3-VL family against transformers' own positions and vision tower."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch
from helpers.tiny_language import clip, policy, prompt, prompts

from kairos.core.types import VideoClip
from kairos.policy.families.qwen3_vl import Qwen3VL
from kairos.policy.language import LanguagePolicy
from kairos.policy.processor import LanguageProcessor


@pytest.fixture(scope="module")
def tiny(folder: str) -> LanguagePolicy:
    return policy(folder)


@pytest.mark.parametrize("outer_markers", [True, False])
@pytest.mark.parametrize("frames,height,width,fps", [(8, 64, 64, 2.0), (5, 64, 96, 4.0), (12, 96, 32, 1.5)])
def test_positions_are_those_of_transformers(
    tiny: LanguagePolicy, folder: str, frames: int, height: int, width: int, fps: float, outer_markers: bool
) -> None:
    processor = LanguageProcessor(folder, family=Qwen3VL(outer_markers=outer_markers))
    layout = processor(prompt("p", "When is the red square visible?", clip("p", frames, height, width, fps=fps)))
    positions, _ = tiny.model.model.get_rope_index(
        layout.ids_L[None],
        mm_token_type_ids=2 * (layout.ids_L == processor.markers.pad).int()[None],
        video_grid_thw=layout.grid_thw_N3,
    )
    assert torch.equal(layout.positions_3L, positions[:, 0])


def test_the_markers_around_the_whole_video_may_go(folder: str) -> None:
    """As the first releases of transformers' processor had it, and as the mini base was trained."""
    question = prompt("p", "When?")
    without, whole = (LanguageProcessor(folder, family=Qwen3VL(outer_markers=kept))(question) for kept in (False, True))
    _, (start,), _, (end,) = LanguageProcessor(folder).markers
    ids, kept = without.ids_L.tolist(), whole.ids_L.tolist()
    first, last = kept.index(start), len(kept) - 1 - kept[::-1].index(end)
    assert ids == [*kept[:first], *kept[first + 1 : last], *kept[last + 1 :]]


def test_the_vision_tower_is_that_of_transformers(tiny: LanguagePolicy) -> None:
    laid_out = [replace(p, layout=tiny.processor(p)) for p in prompts()]
    seen = tiny.towers.see(laid_out)
    frames = [p.clip.frames_TCHW if p.layout.frames is None else p.clip.frames_TCHW[p.layout.frames] for p in laid_out]
    patches = torch.cat([tiny.family.cut.patches(frame) for frame in frames])
    grids = torch.cat([p.layout.grid_thw_N3 for p in laid_out])
    tower = tiny.model.model.visual
    ours = tower.config._attn_implementation
    tower.config._attn_implementation = "sdpa"
    expected = tower(patches, grid_thw=grids)
    tower.config._attn_implementation = ours
    torch.testing.assert_close(seen.tokens_ND, expected.pooler_output, atol=2e-5, rtol=1e-4)
    for deep, other in zip(seen.deepstack, expected.deepstack_features, strict=True):
        torch.testing.assert_close(deep, other, atol=2e-5, rtol=1e-4)


def test_a_processor_pickles_as_its_fields(folder: str) -> None:
    processor = LanguageProcessor(folder)
    layout = processor(prompts()[0])
    text = pickle.dumps(processor)
    assert len(text) < 1000
    assert torch.equal(pickle.loads(text)(prompts()[0]).ids_L, layout.ids_L)


def test_a_text_with_a_video_token_is_refused(folder: str) -> None:
    with pytest.raises(ValueError, match="which models read as a command"):
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
