"""Resizing equals the torchvision call that qwen-vl-utils makes."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tv

from kairos.video import resize as resizing
from kairos.video.resize import resize


@pytest.mark.parametrize("size", [(56, 84), (28, 28), (140, 196)])
def test_resizing_is_bit_equal_to_torchvision(size: tuple[int, int]) -> None:
    frames = torch.randint(0, 256, (7, 90, 121, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    expected = tv.resize(frames, list(size), interpolation=InterpolationMode.BICUBIC, antialias=True)
    assert torch.equal(resize(frames, *size), expected)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = torch.randint(0, 256, (7, 3, 40, 40), dtype=torch.uint8)
    whole = resize(frames, 28, 28)
    monkeypatch.setattr(resizing, "_CHUNK_BYTES", 1)
    assert torch.equal(resize(frames, 28, 28), whole)


def test_frames_of_the_right_size_are_left_alone() -> None:
    frames = torch.randint(0, 256, (2, 3, 28, 28), dtype=torch.uint8)
    assert resize(frames, 28, 28) is frames
