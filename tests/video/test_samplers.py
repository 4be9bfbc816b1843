"""Uniform frame sampling."""

from __future__ import annotations

import pytest
import torch

from kairos.core.types import VideoClip
from kairos.video.samplers import Uniform

CLIP = VideoClip("clip", None, torch.arange(9) / 2, 4.5)


@pytest.mark.parametrize(("count", "index"), [(1, [4]), (2, [0, 8]), (3, [0, 4, 8]), (20, list(range(9)))])
def test_uniform_spreads_over_the_clip(count: int, index: list[int]) -> None:
    chosen = Uniform()(CLIP, "when?", count)
    assert chosen.dtype == torch.int64
    assert chosen.tolist() == index


def test_uniform_refuses_to_choose_nothing() -> None:
    with pytest.raises(ValueError, match="at least one frame, got 0"):
        Uniform()(CLIP, "when?", 0)
