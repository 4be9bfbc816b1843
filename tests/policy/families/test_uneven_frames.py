"""Frames that are not evenly spread keep their own times in every family; evenly spread ones share the duration."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from helpers.tiny_language import FAMILIES, clip, prompt

from kairos.core.types import Layout, VideoClip
from kairos.policy.families.qwen2_5_vl import Qwen25VL
from kairos.policy.families.qwen3_vl import Qwen3VL
from kairos.policy.family import Family
from kairos.policy.network.vision.frame_times import evenly_spread
from kairos.policy.processor import LanguageProcessor

CHOSEN = torch.tensor([2, 3, 40, 41, 55])
"""Of 64 frames at 2 a second: 1.0, 1.5, 20.0, 20.5 and 27.5 s."""


def laid_out(folder: str, family: Family, video: VideoClip) -> tuple[Layout, LanguageProcessor]:
    processor = LanguageProcessor(folder, family=family)
    return processor(prompt("p", "When?", video)), processor


def places(layout: Layout, processor: LanguageProcessor) -> list[int]:
    """Where the temporal patches of the one video block lie on the time axis, from its first token's position on."""
    is_video = layout.ids_L == processor.markers.pad
    begin = int(is_video.nonzero().min())
    return sorted(set((layout.positions_3L[0, is_video] - begin).tolist()))


def stamps(layout: Layout, processor: LanguageProcessor) -> list[float]:
    written = processor.loaded.decode(layout.ids_L.tolist())
    return [float(seconds) for seconds in re.findall(r"<(\d+\.\d) seconds>", written)]


def test_one_block_places_chosen_frames_by_their_own_seconds(folder: str) -> None:
    chosen = clip("c", 64, 56, 56).take(CHOSEN)
    paired, processor = laid_out(folder, Qwen25VL(), chosen)
    assert places(paired, processor) == [2, 40, 55], "two a second, by each pair's first frame"
    assert paired.seconds_per_grid is None, "no one number says where the patches lie"
    single, processor = laid_out(folder, Qwen25VL(single_frames=True), chosen)
    assert places(single, processor) == [2, 3, 40, 41, 55]
    assert single.frames.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    behind = int((single.ids_L == processor.markers.pad).nonzero().max()) + 1
    assert (single.positions_3L[:, behind] == single.positions_3L[:, :behind].max() + 1).all()


def test_timed_blocks_tell_each_chosen_frame_its_own_seconds(folder: str) -> None:
    chosen = clip("c", 64, 64, 64).take(CHOSEN)
    paired, processor = laid_out(folder, Qwen3VL(), chosen)
    assert stamps(paired, processor) == [1.2, 20.2, 27.5] and paired.seconds_per_grid is None
    single, processor = laid_out(folder, Qwen3VL(single_frames=True), chosen)
    assert stamps(single, processor) == [1.0, 1.5, 20.0, 20.5, 27.5]


@pytest.mark.parametrize("index", [[0, 21, 42, 63], [3, 17, 18, 31]])
def test_chosen_frames_keep_their_own_times_even_where_they_are_nearly_even(index: list[int], folder: str) -> None:
    """Frames 0, 21, 42 and 63 are even, but share no duration of 32 s; 3, 17, 18 and 31 are even within half a step."""
    chosen = clip("c", 64, 56, 56).take(torch.tensor(index))
    single, processor = laid_out(folder, Qwen25VL(single_frames=True), chosen)
    assert places(single, processor) == index and single.seconds_per_grid is None
    timed, processor = laid_out(folder, Qwen3VL(single_frames=True), clip("c", 64, 64, 64).take(torch.tensor(index)))
    assert stamps(timed, processor) == [i / 2 for i in index] and timed.seconds_per_grid is None


@pytest.mark.parametrize("name", FAMILIES)
def test_single_frames_are_seen_and_scored(folder: str, name: str) -> None:
    language, side = FAMILIES[name].policy(folder), 2 * FAMILIES[name].token
    language.processor = replace(language.processor, family=replace(language.family, single_frames=True))
    chosen = clip("c", 64, side, side).take(CHOSEN)
    asked = prompt("p", "When?", chosen)
    asked = replace(asked, layout=language.processor(asked))
    with torch.no_grad():
        together = language.towers.see([asked]).tokens_ND
        alone = []
        for number in range(len(chosen)):
            one = prompt("p", "When?", chosen.take(torch.tensor([number])))
            alone.append(language.towers.see([replace(one, layout=language.processor(one))]).tokens_ND)
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


@pytest.mark.parametrize("frames,fps", [(1, 2.0), (2, 2.0), (5, 0.7), (24, 2.0)])
def test_evenly_spread_frames_share_the_duration(folder: str, frames: int, fps: float) -> None:
    layout, processor = laid_out(folder, Qwen25VL(), clip("c", frames, 56, 56, fps=fps))
    assert layout.seconds_per_grid == pytest.approx(2 / fps)
    assert places(layout, processor) == sorted({int(2 * i * layout.seconds_per_grid) for i in range((frames + 1) // 2)})


def test_what_decoding_spreads_is_even_and_what_was_chosen_is_not() -> None:
    for source, wanted in ((10.0, 2.0), (23.976, 2.0), (3.0, 2.0), (2.5, 2.0), (29.97, 0.4)):
        total = int(source * 30)
        index = torch.linspace(0, total - 1, int(30 * wanted)).round()
        assert evenly_spread(VideoClip("a", None, index.double() / source, total / source)), (source, wanted)
    even = VideoClip("a", None, torch.arange(64) / 2.0, 32.0)
    assert evenly_spread(even.take(torch.arange(0, 64, 8)))
    for index in (CHOSEN, torch.arange(32), torch.arange(32, 64), torch.tensor([0, 5])):
        assert not evenly_spread(even.take(index)), index


def test_a_clip_without_frames_is_refused_by_the_prompt_that_shows_it(folder: str) -> None:
    for bare in (VideoClip("c", None, torch.arange(4) / 2.0, 2.0), clip("c").take(torch.tensor([], dtype=torch.long))):
        with pytest.raises(ValueError, match="prompt p: clip c has no frames"):
            LanguageProcessor(folder)(prompt("p", "When?", bare))
